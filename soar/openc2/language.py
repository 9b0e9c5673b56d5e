"""OpenC2 commands and responses as values (Language Specification 1.0 sections 3.3.1 and 3.3.2), read strictly.

Profiles: stateless packet filtering (`slpf`, 1.0), endpoint response (`er`, an unpublished draft), and our
own `x-soar`. Of another profile nothing is known, so its namespace is refused, unless the caller names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from soar.errors import Invalid, Problem
from soar.openc2 import values
from soar.openc2.values import Check, note, record, several, text, word
from soar.strict_text import escaped, shown

VERSION = "1.0"
PROFILES = ("slpf", "er")
DRAFT_PROFILES = frozenset({"er"})
"""Profiles whose specification was never published: what they mean may still change."""
OWN = "x-soar"
"""Our namespace: `incident`, `why` and `reason` of a command, what became of it in a response."""
ACTIONS = (
    "scan", "locate", "query", "deny", "contain", "allow", "start", "stop", "restart", "cancel", "set", "update",
    "redirect", "create", "delete", "detonate", "restore", "copy", "investigate", "remediate",
)  # fmt: skip
_FLOWS = ("ipv4_net", "ipv6_net", "ipv4_connection", "ipv6_connection")
_CUT = (*_FLOWS, "domain_name", "idn_domain_name", "uri", "iri", "email_addr", "idn_email_addr", "file")
PAIRS: Mapping[str, frozenset[str]] = {
    "query": frozenset({"features", "command"}),
    "deny": frozenset(_CUT),
    "allow": frozenset({*_CUT, "device"}),
    "contain": frozenset({"device", "file"}),
    "set": frozenset({"er:account", "er:registry_entry"}),
    "start": frozenset({"er:service", "file"}),
    "stop": frozenset({"er:service", "process"}),
    "update": frozenset({"file"}),
    "create": frozenset({"er:registry_entry"}),
    "delete": frozenset({"slpf:rule_number", "file", "er:service", "er:registry_entry"}),
}
"""Which targets an action may have in the profiles that we know."""
_COMMAND_ID = re.compile(r"[!-~]{1,64}")
_EXTENSION = re.compile(r"x-[A-Za-z0-9_-]{1,30}")
_TARGETS: Mapping[str, Check] = {**values.LANGUAGE_TARGETS, **values.SLPF_TARGETS, **values.ER_TARGETS}
_OWN_ARGS = record({"incident": text, "why": text, "reason": word("recovered", "mistaken", "superseded", "rollback")})
_ARGS: Mapping[str, Check] = {
    "start_time": values.MILLISECONDS, "stop_time": values.MILLISECONDS, "duration": values.MILLISECONDS,
    "response_requested": word("none", "ack", "status", "complete"), "slpf": values.SLPF_ARGS, "er": values.ER_ARGS,
    OWN: _OWN_ARGS,
}  # fmt: skip


class Status(IntEnum):
    """Status codes of a response (section 3.3.2.2)."""

    PROCESSING = 102
    OK = 200
    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    INTERNAL_ERROR = 500
    NOT_IMPLEMENTED = 501
    UNAVAILABLE = 503


class Unsupported(Invalid):
    """The command is well formed, and asks for something that nobody here can do (status 501)."""

    code = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. `target` is what stands under `target_type`; times are milliseconds since 1970."""

    action: str
    target_type: str
    target: Any
    args: Mapping[str, Any] = field(default_factory=dict)
    actuator: Mapping[str, Any] = field(default_factory=dict)
    command_id: str = ""

    def as_plain(self) -> dict[str, Any]:
        """The JSON object; parts that are empty are left out."""
        plain: dict[str, Any] = {"action": self.action, "target": {self.target_type: self.target}}
        rest = {"args": dict(self.args), "actuator": dict(self.actuator), "command_id": self.command_id}
        return plain | {name: value for name, value in rest.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response."""

    status: Status
    status_text: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """The JSON object; parts that are empty are left out."""
        plain: dict[str, Any] = {"status": int(self.status)}
        rest = {"status_text": self.status_text, "results": dict(self.results)}
        return plain | {name: value for name, value in rest.items() if value}


def parse_command(data: Any, extensions: Collection[str] = ()) -> Command:
    """Read a command. `extensions` are foreign namespaces (`x-...`) that are let pass, whatever they say.

    Raises Invalid with every problem.
    """
    problems: list[Problem] = []
    if not isinstance(data, Mapping):
        raise Invalid(problems=[Problem(code="wrong_type", message="a command is a JSON object")])
    values.names(data, ("action", "target", "args", "actuator", "command_id"), "", problems)
    for name in ("action", "target"):
        if name not in data:
            note(problems, "missing_property", f"{name} is missing", f"/{name}")
    if "action" in data:
        word(*ACTIONS)(data["action"], "/action", problems)
    if "target" in data:
        _target(data["target"], extensions, problems)
    if "args" in data:
        foreign = dict.fromkeys(_known(extensions), values.anything)
        record({**_ARGS, **foreign})(data["args"], "/args", problems)
    if "actuator" in data:
        foreign = dict.fromkeys(_known(extensions), values.anything)
        known = {**dict.fromkeys((*PROFILES, OWN), values.SPECIFIERS), **foreign}
        record(known, most=1)(data["actuator"], "/actuator", problems)
    if "command_id" in data:
        values.matching(_COMMAND_ID, "command id (1 to 64 visible ASCII characters)")(
            data["command_id"], "/command_id", problems
        )
    if problems:
        raise Invalid(problems=problems)
    ((target_type, target),) = data["target"].items()
    return Command(
        action=data["action"], target_type=target_type, target=target, args=data.get("args", {}),
        actuator=data.get("actuator", {}), command_id=data.get("command_id", ""),
    )  # fmt: skip


def _known(extensions: Collection[str]) -> list[str]:
    return [name for name in extensions if _EXTENSION.fullmatch(name)]


def _target(data: Any, extensions: Collection[str], problems: list[Problem]) -> None:
    if not isinstance(data, Mapping) or len(data) != 1:
        note(problems, "wrong_type", "target must be an object with exactly one member", "/target")
        return
    ((name, value),) = data.items()
    at = f"/target/{escaped(str(name))}"
    if name in _TARGETS:
        _TARGETS[name](value, at, problems)
    elif str(name).partition(":")[0] not in _known(extensions):
        note(problems, "unknown_target", f"{shown(str(name))} is no target that is known here", at)


def parse_response(data: Any, extensions: Collection[str] = ()) -> Response:
    """Read a response. Raises Invalid with every problem."""
    problems: list[Problem] = []
    foreign = dict.fromkeys((OWN, *_known(extensions)), values.anything)
    results = record(
        {
            "versions": several(text, unique=True), "profiles": several(text, least=0), "pairs": _pairs,
            "rate_limit": _rate, "slpf": values.SLPF_RESULTS, **foreign,
        }
    )  # fmt: skip
    record({"status": _status, "status_text": _said, "results": results})(data, "", problems)
    if isinstance(data, Mapping) and "status" not in data:
        note(problems, "missing_property", "status is missing", "/status")
    if problems:
        raise Invalid(problems=problems)
    return Response(
        status=Status(data["status"]), status_text=data.get("status_text", ""), results=data.get("results", {})
    )


def _status(value: Any, at: str, problems: list[Problem]) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value not in set(Status):
        known = ", ".join(str(int(each)) for each in Status)
        note(problems, "unknown_status", f"{shown(str(value))} is not one of {known}", at)


def _said(value: Any, at: str, problems: list[Problem]) -> None:
    if not isinstance(value, str):
        note(problems, "wrong_type", "this must be text", at)


def _rate(value: Any, at: str, problems: list[Problem]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        note(problems, "wrong_type", "this must be a number that is not negative", at)


def _pairs(value: Any, at: str, problems: list[Problem]) -> None:
    record({action: several(word(*sorted(targets)), unique=True) for action, targets in PAIRS.items()})(
        value, at, problems
    )
