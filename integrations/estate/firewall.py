"""Block rules, live flows, and what passing time does to both.

A rule does not touch a flow that already runs: ending flows is a call of its own. A rule with a
duration ends by itself. A program that talks to the outside opens its flow again as soon as nothing
stands in its way, so malware that was only cut off comes back when it is let go.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from integrations.estate import containments
from integrations.estate.act import Act, Answer, Data, Refusal, note, stamp
from integrations.estate.containments import Slot

KINDS = ("ip", "domain", "url", "hash", "sender")
_LONGEST = 10 * 365 * 86_400.0
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def rule_slot(kind: str) -> Slot:
    """The slot of block rules of one kind."""
    return Slot(
        name="blocked",
        absent="no rule",
        read=lambda data, act: data["rules"].get(_rule_id(kind, act)),
        write=lambda data, act, record: _set_rule(data, _rule_id(kind, act), record),
        facts=lambda data, act: {"flows": _flows_to(data, act)} if kind == "ip" else {},
        place=lambda act: _rule_id(kind, act),
        fields=lambda act: {"kind": kind, "value": _value(kind, act), "until": _until(act)},
    )


def block(slot: Slot, data: Data, act: Act) -> Answer:
    """Set a rule. A rule that stands keeps its key; a later end moves its end."""
    standing, until = slot.read(data, act), _until(act)
    if standing is None or standing["until"] is None or (until is not None and until <= standing["until"]):
        return containments.contain(slot, data, act)
    slot.write(data, act, {**standing, "until": until})
    return Answer({"summary": f"{containments.said(slot, standing)}, now until {until}"}, changed=True)


def inspect(slot: Slot, data: Data, act: Act, *, wants: bool) -> Answer:
    """As for every containment; the summary also says how many flows run."""
    found = containments.inspect(slot, data, act, wants=wants)
    assert isinstance(found.body, dict)
    words, flows = found.body["summary"], found.body["state"].get("flows")
    words = f"no rule for {act.id}" if words == slot.absent else f"{act.id} {words}"
    return Answer({**found.body, "summary": words if flows is None else f"{words}, {len(flows)} live flows"})


def end_flows(data: Data, act: Act) -> Answer:
    """Cut every live flow to an address or network."""
    network, ended = _network(act), 0
    for host in data["hosts"].values():
        kept = [flow for flow in host["connections"] if not _inside(flow["address"], network)]
        ended += len(host["connections"]) - len(kept)
        host["connections"] = kept
    return Answer({"flows_ended": ended, "summary": f"{ended} flows ended"}, changed=ended > 0)


def pass_time(data: Data, now: datetime) -> bool:
    """End rules whose time is over, let programs open their flows again; True when anything changed."""
    moment = stamp(now)
    over = [name for name, rule in data["rules"].items() if rule["until"] is not None and rule["until"] <= moment]
    for name in over:
        del data["rules"][name]
    opened = 0
    for host in data["hosts"].values():
        if host["isolated"] is None:
            opened += sum(_open_flow(data, host, process, now) for process in host["processes"])
    return bool(over or opened)


def _open_flow(data: Data, host: Data, process: Data, now: datetime) -> int:
    peer, pid = process["talks_to"], process["pid"]
    if peer is None or any(flow["pid"] == pid for flow in host["connections"]) or _blocked(data, peer):
        return 0
    flow = {"pid": pid, "address": peer["address"], "port": peer["port"], "state": "established", "since": stamp(now)}
    host["connections"].append(flow)
    note(host, now, f"process {pid} connected to {peer['address']}:{peer['port']}")
    return 1


def _blocked(data: Data, peer: Data) -> bool:
    return any(
        (rule["kind"] == "ip" and _inside(peer["address"], ipaddress.ip_network(rule["value"])))
        or (rule["kind"] == "domain" and rule["value"] == peer.get("domain"))
        for rule in data["rules"].values()
    )


def _flows_to(data: Data, act: Act) -> list[Data]:
    return list(_matching(data, _network(act)))


def _matching(data: Data, network: _Network) -> Iterator[Data]:
    for host in data["hosts"].values():
        for flow in host["connections"]:
            if _inside(flow["address"], network):
                yield {"host": host["id"], **flow}


def _inside(address: str, network: _Network) -> bool:
    return ipaddress.ip_address(address) in network


def _network(act: Act) -> _Network:
    try:
        return ipaddress.ip_network(act.id)
    except ValueError as error:
        raise Refusal(400, f"{act.id!r} is neither an address nor a network") from error


def _value(kind: str, act: Act) -> str:
    """The observable as rules write it; two spellings of one thing are one rule."""
    if not act.id:
        raise Refusal(400, f"{act.verb} needs something to block")
    if kind == "ip":
        network = _network(act)
        return str(network.network_address) if network.num_addresses == 1 else str(network)
    return act.id if kind == "url" else act.id.lower().rstrip(".")


def _rule_id(kind: str, act: Act) -> str:
    return f"{kind}:{_value(kind, act)}"


def _set_rule(data: Data, name: str, record: Data | None) -> None:
    if record is None:
        data["rules"].pop(name, None)
    else:
        data["rules"][name] = record


def _until(act: Act) -> str | None:
    seconds = act.params.get("duration")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise Refusal(400, "'duration' must be a number of seconds")
    if not 0 < seconds <= _LONGEST:
        raise Refusal(400, "'duration' must be above 0 and at most ten years")
    return stamp(act.now + timedelta(seconds=seconds))
