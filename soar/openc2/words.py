"""Our verbs as OpenC2 commands, and back. Every verb that has an OpenC2 word has both.

Where a target says no host, as a file or a process does, the host stands in `args.er.downstream_device`.
What our verbs cannot do as it is asked (a single flow, a direction, an answer to dropped packets) is
refused by name rather than done in another way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from soar.errors import Invalid, Problem
from soar.openc2.language import OWN, Command, Unsupported
from soar.strict_text import shown
from soar.verbs import VERBS, OnExpiry

_BLOCKS: Mapping[str, tuple[str, ...]] = {
    "ip": ("ipv4_net", "ipv6_net"),
    "domain": ("domain_name", "idn_domain_name"),
    "url": ("uri", "iri"),
    "sender": ("email_addr", "idn_email_addr"),
}
FURTHEST = timedelta(days=3660)
"""How far ahead a command may begin or end."""
_PARAM = {target: param for param, targets in _BLOCKS.items() for target in targets}
_HASHES = {64: "sha256", 40: "sha1", 32: "md5"}
_ON_FILES = {"contain": "quarantine_file", "allow": "restore_file", "delete": "delete_file"}
_PLAIN_SLPF: Mapping[str, Any] = {"drop_process": "none", "direction": "both", "persistent": True}
"""What a block is here anyway; anything else cannot be asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command in our words. `by_name` says that the target is named as people do, not by an inventory's id."""

    verb: str
    params: Mapping[str, Any]
    by_name: bool = False

    @property
    def target(self) -> str:
        """The value of the parameter that holds the target."""
        return str(self.params[VERBS[self.verb].target_param])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When it begins (from now on) and how long it lasts from then; zero where nothing was said."""

    delay: timedelta = timedelta()
    lease: timedelta = timedelta()


# --- our words to theirs ------------------------------------------------------------------------


def command_of(verb: str, params: Mapping[str, Any], *, seconds: float = 0, command_id: str = "") -> Command:
    """The command that asks for a verb, for so many seconds (0: no end). Raises Invalid for one without a word."""
    if verb not in VERBS or not VERBS[verb].openc2:
        raise Invalid(problems=[Problem(code="no_word", message=f"OpenC2 has no word for {shown(verb)}")])
    if problems := VERBS[verb].problems(params):
        raise Invalid(problems=problems)
    action, _, kind = VERBS[verb].openc2.partition(" ")
    target_type, target, args = _written(verb, kind, params)
    if seconds:
        args = {"duration": round(seconds * 1000), **args}
    return Command(action=action, target_type=target_type, target=target, args=args, command_id=command_id)


def _written(verb: str, kind: str, params: Mapping[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    if kind in _PARAM:
        value = params[_PARAM[kind]]
        return _spelt(kind, value), value, {}
    if verb in ("block_hash", "unblock_hash"):
        name = _HASHES.get(len(params["hash"]))
        if name is None:
            raise Invalid(problems=[Problem(code="bad_value", message="OpenC2 knows md5, sha1 and sha256 alone")])
        return kind, {"hashes": {name: params["hash"]}}, {}
    if kind == "device":
        er: dict[str, Any] = {"device_containment": "network_isolation"}
        if allow := params.get("allow"):
            er["permitted_addresses"] = _addresses(allow)
        return kind, {"device_id": params["host"]}, {"er": er}
    if kind == "er:account":
        status = "disabled" if verb == "disable_account" else "enabled"
        return kind, {"uid": params["account"]}, {"er": {"account_status": status}}
    on_host = {"er": {"downstream_device": {"devices": [{"device_id": params["host"]}]}}}
    targets = {"file": ("path", "path"), "process": ("pid", "pid"), "er:service": ("name", "name")}
    theirs, ours = targets[kind]
    return kind, {theirs: params[ours]}, on_host


def _spelt(kind: str, value: str) -> str:
    """The variant of a target for this value: the other IP version, or the internationalized one."""
    if kind == "ipv4_net":
        try:
            return f"ipv{ipaddress.ip_network(value, strict=False).version}_net"
        except ValueError:
            message = f"{shown(value)} is no address or network"
            raise Invalid(problems=[Problem(code="bad_value", message=message)]) from None
    return _BLOCKS[_PARAM[kind]][0 if value.isascii() else 1]


def _addresses(allow: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in map(str, allow):
        try:
            kind = f"ipv{ipaddress.ip_network(each, strict=False).version}_net"
        except ValueError:
            kind = "domain_name"
        found.setdefault(kind, []).append(each)
    return found


# --- their words to ours ------------------------------------------------------------------------


def order_of(command: Command) -> Order:
    """What a command asks for in our words. Raises Unsupported for what nobody here can do, Invalid for
    what misses something (as containing a device without saying how, which must not be a success).
    """
    _check_namespaces(command)
    er, target, action = command.args.get("er", {}), command.target, command.action
    order: Order | None = None
    match action, command.target_type:
        case (("deny" | "allow"), kind) if kind in _PARAM:
            order = Order(verb=f"{_block(action)}_{_PARAM[kind]}", params={_PARAM[kind]: _plain(kind, target)})
        case (("deny" | "allow"), "file") if action == "deny" or "path" not in target:
            order = Order(verb=f"{_block(action)}_hash", params={"hash": _digest(target)})
        case (("contain" | "allow"), "device"):
            order = _device(action, target, er)
        case (("contain" | "allow" | "delete"), "file"):
            order = _on_host(_ON_FILES[action], er, {"path": _path(target)})
        case "set", "er:account":
            order = _account(target, er)
        case "stop", "process":
            order = _on_host("kill_process", er, {"pid": _only(target, "pid", "a process")})
        case (("stop" | "start"), "er:service"):
            order = _on_host(f"{action}_service", er, {"name": _only(target, "name", "a service")})
    if order is None:
        raise _unsupported(f"{action} {command.target_type} is not done here", "/action")
    _check_slpf(command)
    return order


def _check_namespaces(command: Command) -> None:
    """Of profiles that are not ours nothing is known, so nothing is done for them."""
    places = {"actuator": command.actuator, "args": command.args, "target": {command.target_type: None}}
    for place, members in places.items():
        for name in members:
            if name.startswith("x-") and name != OWN:
                raise _unsupported(f"nothing is known of {shown(name)} here", f"/{place}")


def _check_slpf(command: Command) -> None:
    for name, value in command.args.get("slpf", {}).items():
        if name not in _PLAIN_SLPF or _PLAIN_SLPF[name] != value:
            raise _unsupported(f"a block cannot be asked for with {name} here", f"/args/slpf/{name}")


def timing_of(command: Command, verb: str, now: datetime) -> Timing:
    """When and for how long. Raises Invalid for times that contradict, Unsupported where nothing ends by itself."""
    given = {name: command.args[name] for name in ("start_time", "stop_time", "duration") if name in command.args}
    if len(given) == 3:
        raise _invalid("bad_value", "of start_time, stop_time and duration at most two may be given", "/args")
    clock = round(now.astimezone(UTC).timestamp() * 1000)
    start = given.get("start_time", clock)
    if given.keys() == {"stop_time", "duration"}:
        start = max(0, given["stop_time"] - given["duration"])
    begins = max(start, clock)
    latest = clock + round(FURTHEST.total_seconds() * 1000)
    too_far = _invalid("bad_value", f"times lie at most {FURTHEST.days} days ahead", "/args")
    if begins > latest:
        raise too_far
    delay = timedelta(milliseconds=begins - clock)
    if "stop_time" not in given and "duration" not in given:
        return Timing(delay=delay)
    ends = given.get("stop_time", start + given.get("duration", 0))
    if ends > latest:
        raise too_far
    if ends <= begins:
        raise _invalid("bad_value", "the command would be over before it begins", "/args")
    if VERBS[verb].on_expiry is not OnExpiry.LIFT:
        raise _unsupported(f"{verb} does not end by itself; leave out stop_time and duration", "/args")
    return Timing(delay=delay, lease=timedelta(seconds=-(-(ends - begins) // 1000)))


def _plain(kind: str, target: str) -> str:
    """A network in one spelling, so that what is blocked is found again when it is allowed."""
    if kind not in _BLOCKS["ip"]:
        return target
    network = ipaddress.ip_network(target, strict=False)
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _block(action: str) -> str:
    return "block" if action == "deny" else "unblock"


def _device(action: str, target: Mapping[str, Any], er: Mapping[str, Any]) -> Order:
    way = er.get("device_containment")
    if way is None:
        raise _invalid("missing_property", "say in args.er.device_containment how", "/args/er/device_containment")
    if way != "network_isolation":
        raise _unsupported(f"{way} is not done here, network_isolation is", "/args/er/device_containment")
    host, by_name = _named(target)
    allow = [
        each
        for kind in ("domain_name", "ipv4_net", "ipv6_net")
        for each in er.get("permitted_addresses", {}).get(kind, ())
    ]
    params = {"host": host, "allow": allow} if allow else {"host": host}
    return Order(verb="isolate_host" if action == "contain" else "release_host", params=params, by_name=by_name)


def _account(target: Mapping[str, Any], er: Mapping[str, Any]) -> Order:
    if "account_status" not in er:
        raise _invalid("missing_property", "say in args.er.account_status what it shall be", "/args/er/account_status")
    named = [name for name in ("uid", "account_name") if name in target]
    if not named:
        raise _invalid("missing_property", "an account is named by uid or account_name", "/target/er:account")
    verb = "disable_account" if er["account_status"] == "disabled" else "enable_account"
    return Order(verb=verb, params={"account": target[named[0]]}, by_name=named[0] != "uid")


def _named(device: Mapping[str, Any]) -> tuple[str, bool]:
    """The device's id in an inventory, else its host name; and whether it is a name."""
    if "device_id" in device:
        return str(device["device_id"]), False
    return str(device.get("hostname") or device.get("idn_hostname")), True


def _on_host(verb: str, er: Mapping[str, Any], params: Mapping[str, Any]) -> Order:
    devices = er.get("downstream_device", {}).get("devices", [])
    if len(devices) != 1:
        message = "name the one device in args.er.downstream_device.devices"
        raise _invalid("missing_property", message, "/args/er/downstream_device")
    host, by_name = _named(devices[0])
    return Order(verb=verb, params={"host": host, **params}, by_name=by_name)


def _path(file: Mapping[str, Any]) -> str:
    """The whole path: `path` may be that of the file, or of the folder beside a `name`."""
    path, name = str(_only(file, "path", "a file")), str(file.get("name", ""))
    separator = "\\" if "\\" in path else "/"
    if not name or path == name or path.endswith(separator + name):
        return path
    return path.rstrip(separator) + separator + name


def _digest(file: Mapping[str, Any]) -> str:
    """The strongest digest."""
    hashes = file.get("hashes", {})
    for name in ("sha256", "sha1", "md5"):
        if name in hashes:
            return str(hashes[name])
    raise _invalid("missing_property", "a file is denied or allowed by its hashes", "/target/file/hashes")


def _only(target: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in target:
        raise _invalid("missing_property", f"{what} is named by its {name} here", "/target")
    return target[name]


def _invalid(code: str, message: str, pointer: str) -> Invalid:
    return Invalid(problems=[Problem(code=code, message=message, pointer=pointer)])


def _unsupported(message: str, pointer: str) -> Unsupported:
    return Unsupported(problems=[Problem(code="unsupported", message=message, pointer=pointer)])
