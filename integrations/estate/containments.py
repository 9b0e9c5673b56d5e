"""Effects that stand until somebody ends them: isolation, disabled account, quarantine, stopped service.

Each lives in one slot of the state that is empty or holds `{key, since, ...}`: whose call brought it
about, and when. One set of rules serves them all, so every undo compares the key before it acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from integrations.estate.act import Act, Answer, Data, Refusal, account_of, host_of, note, stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one kind of effect stands. `place` tells two slots of one kind apart."""

    name: str
    absent: str
    read: Callable[[Data, Act], Data | None]
    write: Callable[[Data, Act, Data | None], None]
    facts: Callable[[Data, Act], Data]
    place: Callable[[Act], str] = lambda act: act.target
    fields: Callable[[Act], Data] = lambda _act: {}


def contain(slot: Slot, data: Data, act: Act) -> Answer:
    """Bring the effect about. What stands already stays as it is, with the key it has."""
    standing = slot.read(data, act)
    if standing is not None:
        return Answer({"summary": f"already so: {said(slot, standing)}"})
    record = {"key": act.key, "since": stamp(act.now), **slot.fields(act)}
    slot.write(data, act, record)
    data["ended"].pop(_ended(slot, act), None)
    return Answer({"summary": said(slot, record)}, changed=True)


def release(slot: Slot, data: Data, act: Act) -> Answer:
    """End the effect, whoever brought it about."""
    standing = slot.read(data, act)
    if standing is None:
        return Answer({"summary": "already gone"})
    slot.write(data, act, None)
    data["ended"][_ended(slot, act)] = {"key": act.key, "since": stamp(act.now)}
    return Answer({"summary": f"ended; it was {said(slot, standing)}"}, changed=True)


def revert(slot: Slot, data: Data, act: Act) -> Answer:
    """End the effect only if it carries the handle's key."""
    wanted = act.handle.get("key")
    if not isinstance(wanted, str) or not wanted:
        raise Refusal(400, "the handle has no key, so nothing can be shown to be ours")
    standing = slot.read(data, act)
    if standing is not None and standing["key"] != wanted:
        raise Refusal(409, f"not ours to undo: {said(slot, standing)}, not by key {wanted}")
    return release(slot, data, act)


def inspect(slot: Slot, data: Data, act: Act, *, wants: bool) -> Answer:
    """What stands now. `wants` is True for the verb that contains, False for the one that releases."""
    standing = slot.read(data, act)
    ended = data["ended"].get(_ended(slot, act))
    key = standing["key"] if standing is not None else None
    ours = key if standing is not None or wants or ended is None else ended["key"]
    return Answer(
        {
            "present": (standing is not None) is wants,
            "ours": ours,
            "state": {"stands": standing is not None, "key": key, slot.name: standing, **slot.facts(data, act)},
            "summary": slot.absent if standing is None else said(slot, standing),
        }
    )


def said(slot: Slot, standing: Data) -> str:
    """The standing effect in words."""
    until = f" until {standing['until']}" if standing.get("until") else ""
    by = f"by key {standing['key']}" if standing["key"] else "by hand"
    return f"{slot.name} since {standing['since']}{until} {by}"


def _ended(slot: Slot, act: Act) -> str:
    return f"{slot.name} {slot.place(act)}"


def _isolate(data: Data, act: Act, record: Data | None) -> None:
    host = host_of(data, act)
    host["isolated"] = record
    if record is not None:
        host["connections"] = []
    note(host, act.now, "network isolation on" if record else "network isolation off")


def _allowed(act: Act) -> Data:
    allow = act.params.get("allow", [])
    if not isinstance(allow, list) or not all(isinstance(network, str) for network in allow):
        raise Refusal(400, "'allow' must be a list of network names")
    return {"allow": allow}


def _disable(data: Data, act: Act, record: Data | None) -> None:
    account = account_of(data, act)
    account["enabled"], account["disabled"] = record is None, record


def _file(data: Data, act: Act) -> Data:
    return _named(host_of(data, act)["files"], "path", act.text("path"), act)


def _service(data: Data, act: Act) -> Data:
    return _named(host_of(data, act)["services"], "name", act.text("name"), act)


def _named(things: list[Data], by: str, value: str, act: Act) -> Data:
    for thing in things:
        if thing[by].lower() == value.lower():
            return thing
    raise Refusal(404, f"{act.id} has nothing whose {by} is {value!r}")


ISOLATION = Slot(
    name="isolated",
    absent="not isolated",
    read=lambda data, act: host_of(data, act)["isolated"],
    write=_isolate,
    facts=lambda data, act: {"flows": len(host_of(data, act)["connections"])},
    fields=_allowed,
)
DISABLING = Slot(
    name="disabled",
    absent="enabled",
    read=lambda data, act: account_of(data, act)["disabled"],
    write=_disable,
    facts=lambda data, act: {"sessions": len(account_of(data, act)["sessions"])},
)
QUARANTINE = Slot(
    name="quarantined",
    absent="at its place",
    read=lambda data, act: _file(data, act)["quarantined"],
    write=lambda data, act, record: _file(data, act).update(quarantined=record),
    facts=lambda data, act: {"sha256": _file(data, act)["sha256"]},
    place=lambda act: f"{act.target} {act.text('path').lower()}",
)
STOPPING = Slot(
    name="stopped",
    absent="running",
    read=lambda data, act: _service(data, act)["stopped"],
    write=lambda data, act, record: _service(data, act).update(stopped=record),
    facts=lambda _data, _act: {},
    place=lambda act: f"{act.target} {act.text('name').lower()}",
)
