"""Sigma as an adapter: tries the rules of CACAO commands of type `sigma` (CACAO 2.0, section 5) on collected logs.

A log is an evidence item of class `logs` with one JSON object a line. Each is read in a process of its own, so
that a hostile rule or a hostile log cannot hold up or crash this one. Reads only; changes nothing anywhere.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from evidence import scanning
from evidence.yara_child import COMPILE_SECONDS
from soar.errors import Invalid, Problem
from soar.model import Applied, Call, Inspection, JsonObject, Repeat
from soar.ports import Capability, NotSent, Rejected, Sink

KIND = "sigma"
MEMORY = 1024 * 1024 * 1024
"""What reading a rule and trying it may take, in octets."""
MAX_EVENTS = 100
"""How many events that match are handed back; all are counted."""
_CHILD = Path(__file__).with_name("sigma_child.py")
_PROBE = "title: probe\nlogsource: {product: any}\ndetection: {a: {b: c}, condition: a}\n"


class Config(BaseModel, extra="forbid", frozen=True):
    """`timeout` is seconds for one log, `max_bytes` the largest log in octets."""

    timeout: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    max_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)


def connect(name: str, config: Config) -> SigmaAdapter:
    """The adapter under a name. Raises Invalid where pySigma is not installed."""
    if importlib.util.find_spec("sigma") is None:
        message = f"adapter {name!r} needs pySigma, which is not installed"
        mend = "Install soar-ir with [sigma]."
        raise Invalid(
            problems=[Problem(code="missing_package", message=message, pointer=f"adapters.{name}", mend=mend)]
        )
    return SigmaAdapter(name, config)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a rule found in one log: how many events, and the first of them."""

    total: int
    events: list[JsonObject]


class SigmaAdapter:
    """Satisfies soar.ports.Adapter with the one verb `command_sigma`."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.verbs: Mapping[str, Capability] = {
            "command_sigma": Capability(repeat=Repeat.READ, inspects=False, timeout=config.timeout + COMPILE_SECONDS)
        }
        self._config = config

    def inspect(self, call: Call) -> Inspection:
        """There is nothing to inspect: a search leaves no effect."""
        self._known(call)
        return Inspection(present=None, state={}, summary=f"{call.verb} leaves no effect")

    def apply(self, call: Call, sink: Sink) -> Applied:
        """Try the rule on the logs named by `evidence`; `status` is how many events match."""
        self._known(call)
        rule, ids = scanning.rule_of(call), scanning.items_of(call)
        found = scanning.scan_all(ids, lambda ident: self._scan(ident, rule, sink), lambda each: each.total)
        total = sum(each.total for each in found)
        events = [event for each in found for event in each.events][:MAX_EVENTS]
        summary = f"{len(ids)} logs searched, {total} events match"
        return Applied(outputs={"result": events, "status": total}, summary=summary)

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:  # noqa: ARG002 - nothing is ours
        """A search changes nothing, so nothing can be taken back."""
        raise Rejected(f"{call.verb} has nothing to undo")

    def check(self) -> Sequence[Problem]:
        """Whether the process that reads rules can be started and does."""
        try:
            scanning.ask(_CHILD, self._request(_PROBE), None)
        except (Rejected, NotSent, Invalid) as error:
            return [Problem(code="sigma_child", message=error.message)]
        return []

    def _known(self, call: Call) -> None:
        if call.verb not in self.verbs:
            raise Rejected(f"{self.name} cannot do {call.verb}")

    def _request(self, rule: str) -> JsonObject:
        return {"text": rule, "timeout": self._config.timeout, "memory": MEMORY, "most": MAX_EVENTS}

    def _scan(self, ident: str, rule: str, sink: Sink) -> _Found:
        with scanning.copy_of(sink, ident, self._config.max_bytes) as (stored, copy, _size):
            if stored.item.evidence_class != "logs":
                raise Rejected(f"it is no log but {stored.item.evidence_class}")
            answer = scanning.ask(_CHILD, self._request(rule), copy)
        events: list[JsonObject] = [
            {"item": stored.id, "host": stored.item.source, "rule": answer["title"], **event}
            for event in answer["events"]
        ]
        return _Found(answer["total"], events)
