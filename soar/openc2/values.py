"""Target and argument types of OpenC2 (Language Specification 1.0 section 3.4), each a function that finds problems.

A check takes a value, its JSON Pointer and the list to which problems are added.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from soar.errors import Problem
from soar.strict_text import escaped, shown

Check = Callable[[Any, str, list[Problem]], None]
FEATURES = ("versions", "profiles", "pairs", "rate_limit")
LARGEST = 2**53 - 1
_LONGEST = 4096
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,253}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9A-Fa-f]{2}(([:-][0-9A-Fa-f]{2}){2})?")
_HASHES = {"md5": 32, "sha1": 40, "sha256": 64}


def note(problems: list[Problem], code: str, message: str, pointer: str, mend: str = "") -> None:
    """Add one problem."""
    problems.append(Problem(code=code, message=message, pointer=pointer, mend=mend))


def text(value: Any, at: str, problems: list[Problem]) -> None:
    """Any text that says something."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        note(problems, "wrong_type", f"this must be text of 1 to {_LONGEST} characters", at)


def flag(value: Any, at: str, problems: list[Problem]) -> None:
    """true or false."""
    if not isinstance(value, bool):
        note(problems, "wrong_type", "this must be true or false", at)


def anything(value: Any, at: str, problems: list[Problem]) -> None:
    """What a profile that is not ours says."""


def number(low: int, high: int = LARGEST) -> Check:
    """A whole number within bounds."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            note(problems, "wrong_type", f"this must be a whole number from {low} to {high}", at)

    return check


def word(*words: str) -> Check:
    """One of some words."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if value not in words:
            note(problems, "unknown_word", f"{shown(str(value))} is not one of {', '.join(words)}", at)

    return check


def matching(pattern: re.Pattern[str], what: str) -> Check:
    """A text of a form."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if not isinstance(value, str) or len(value) > _LONGEST or not pattern.fullmatch(value):
            note(problems, "bad_value", f"{shown(str(value))} is no {what}", at)

    return check


def network(version: int) -> Check:
    """An address range with or without prefix length."""
    read: Any = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        try:
            read(value if isinstance(value, str) else None, strict=False)
        except (ValueError, TypeError):
            note(problems, "bad_value", f"{shown(str(value))} is no IPv{version} address or network", at)

    return check


def record(parts: Mapping[str, Check], *, least: int = 1, most: int = 100) -> Check:
    """An object of known members, at least and at most so many of them."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if not isinstance(value, Mapping):
            note(problems, "wrong_type", "this must be an object", at)
            return
        for name, each in value.items():
            where = f"{at}/{escaped(str(name))}"
            if name in parts:
                parts[name](each, where, problems)
            else:
                mend = f"Known here: {', '.join(parts)}."
                note(problems, "unknown_property", f"{shown(str(name))} is not known here", where, mend)
        if not least <= len(value) <= most:
            bound = f"exactly {least}" if least == most else f"{least} or more"
            note(problems, "wrong_count", f"this must have {bound} members, it has {len(value)}", at)

    return check


def several(each: Check, *, least: int = 1, most: int = 100, unique: bool = False) -> Check:
    """A list, each element of it checked."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            note(problems, "wrong_type", f"this must be a list of {least} to {most} elements", at)
            return
        for index, element in enumerate(value):
            each(element, f"{at}/{index}", problems)
        if unique and len({repr(element) for element in value}) != len(value):
            note(problems, "duplicate", "an element stands here twice", at)

    return check


def _hash(value: Any, at: str, problems: list[Problem]) -> None:
    length = _HASHES.get(at.rpartition("/")[2], 0)
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", value):
        note(problems, "bad_value", f"{shown(str(value))} is no digest of {length} hexadecimal digits", at)


def _connection(version: int) -> Check:
    address, port = network(version), number(0, 65535)
    parts = {"src_addr": address, "src_port": port, "dst_addr": address, "dst_port": port}
    return record({**parts, "protocol": word("icmp", "tcp", "udp", "sctp")})


HOSTNAME = matching(_HOSTNAME, "host or domain name")
FILE = record({"name": text, "path": text, "hashes": record(dict.fromkeys(_HASHES, _hash))})
DEVICE = record({"hostname": HOSTNAME, "idn_hostname": text, "device_id": text})
MILLISECONDS = number(0)
_process: dict[str, Check] = {
    "pid": number(0), "name": text, "cwd": text, "executable": FILE, "command_line": text,
}  # fmt: skip
PROCESS = record(_process)
_process["parent"] = lambda value, at, problems: PROCESS(value, at, problems)  # noqa: PLW0108 - it holds itself

LANGUAGE_TARGETS: Mapping[str, Check] = {
    "artifact": record({"mime_type": text, "payload": record({"bin": text, "url": text}, most=1), "hashes": anything}),
    "command": text,
    "device": DEVICE,
    "domain_name": HOSTNAME,
    "email_addr": matching(_EMAIL, "e-mail address"),
    "features": several(word(*FEATURES), least=0, most=10, unique=True),
    "file": FILE,
    "idn_domain_name": text,
    "idn_email_addr": matching(_EMAIL, "e-mail address"),
    "ipv4_net": network(4),
    "ipv6_net": network(6),
    "ipv4_connection": _connection(4),
    "ipv6_connection": _connection(6),
    "iri": matching(_URI, "IRI"),
    "mac_addr": matching(_MAC, "MAC address"),
    "process": PROCESS,
    "properties": several(text, unique=True),
    "uri": matching(_URI, "URI"),
}
"""Targets of the language itself."""

SLPF_TARGETS: Mapping[str, Check] = {"slpf:rule_number": number(-LARGEST)}
SLPF_ARGS = record(
    {
        "drop_process": word("none", "reject", "false_ack"), "persistent": flag,
        "direction": word("both", "ingress", "egress"), "insert_rule": number(-LARGEST),
    }
)  # fmt: skip
SLPF_RESULTS = record({"rule_number": number(-LARGEST)}, least=0)
SPECIFIERS = record(
    {"hostname": text, "named_group": text, "asset_id": text, "asset_tuple": several(text, most=10)}, least=0
)
"""What names one actuator among several (Stateless Packet Filtering 1.0 section 2.1.4)."""

ER_TARGETS: Mapping[str, Check] = {
    "er:account": record({"uid": text, "account_name": text, "directory": text}),
    "er:service": record({"name": text, "display_name": text}),
    "er:registry_entry": anything,
}
"""Endpoint response, of which no specification was published: a draft."""
ER_ARGS = record(
    {
        "device_containment": word("network_isolation", "app_restriction", "disable_nic"),
        "permitted_addresses": record(
            {"domain_name": several(text), "ipv4_net": several(network(4)), "ipv6_net": several(network(6))}
        ),
        "account_status": word("enabled", "disabled"),
        "downstream_device": record({"devices": several(DEVICE), "device_groups": several(text), "tenant_id": text}),
    }
)  # fmt: skip


def names(value: Any, allowed: Collection[str], at: str, problems: list[Problem]) -> None:
    """Note every member of an object that is not among these."""
    record(dict.fromkeys(allowed, anything), least=0, most=len(allowed))(value, at, problems)
