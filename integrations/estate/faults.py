"""Faults that can be asked of the estate, so that drills and tests meet what real targets do.

hang: never answer, do nothing · hang_after: do it, never answer · cut: close the line, do nothing ·
cut_after: do it, close the line · lie: answer success, do nothing · error_500: answer 500, do
nothing · act_and_500: do it, answer 500 · accept_later: answer 202, do it after `seconds`.
They live in memory: a restart clears them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations.estate.act import Data, Refusal
from integrations.estate.operations import OPERATIONS

SILENT = frozenset({"hang", "cut"})
FAULTS = frozenset({*SILENT, "hang_after", "cut_after", "lie", "error_500", "act_and_500", "accept_later"})
_PHASES = ("apply", "revert", "inspect")
_CHANGING = frozenset({"lie", "accept_later"})
_KNOWN = frozenset({"verb", "target", "phase", "fault", "seconds", "times"})


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault, for the next `times` calls that match. An empty target matches every one."""

    verb: str
    phase: str
    fault: str
    target: str = ""
    seconds: float | None = None
    times: int = 1

    def fits(self, verb: str, target: str, phase: str) -> bool:
        """A target may be named with its kind or without."""
        named = not self.target or self.target in {target, target.partition(":")[2]}
        return (self.verb, self.phase) == (verb, phase) and named

    def as_dict(self) -> Data:
        return {name: getattr(self, name) for name in ("verb", "target", "phase", "fault", "seconds", "times")}


class FaultBook:
    """The faults that wait for their call, oldest first. One thread at a time."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def listed(self) -> list[Data]:
        return [fault.as_dict() for fault in self._waiting]

    def take(self, verb: str, target: str, phase: str) -> Fault | None:
        """The fault that this call meets, used up by one."""
        for fault in self._waiting:
            if fault.fits(verb, target, phase):
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None


def read_fault(body: Mapping[str, Any]) -> Fault:
    """A fault from JSON; raises Refusal with what is wrong."""
    unknown = sorted(set(body) - _KNOWN)
    if unknown:
        raise Refusal(400, f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(_KNOWN))}")
    verb, phase, fault = str(body.get("verb")), body.get("phase"), body.get("fault")
    if verb not in OPERATIONS:
        raise Refusal(400, f"'verb' must be one that the estate knows, not {verb!r}")
    if phase not in _PHASES or phase not in OPERATIONS[verb].methods:
        raise Refusal(400, f"'phase' must be a method of {verb}: {', '.join(OPERATIONS[verb].methods)}")
    if fault not in FAULTS:
        raise Refusal(400, f"'fault' must be one of {', '.join(sorted(FAULTS))}")
    if fault in _CHANGING and (phase == "inspect" or OPERATIONS[verb].reads):
        raise Refusal(400, f"{fault} needs a call that changes something")
    seconds, times, target = body.get("seconds"), body.get("times", 1), body.get("target", "")
    if seconds is not None and not _number(seconds, 3600):
        raise Refusal(400, "'seconds' must be a number from 0 to 3600")
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 100_000:
        raise Refusal(400, "'times' must be a whole number from 1 to 100000")
    if not isinstance(target, str):
        raise Refusal(400, "'target' must be text")
    return Fault(verb=verb, phase=phase, fault=fault, target=target, seconds=seconds, times=times)


def _number(value: Any, most: float) -> bool:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return fits and math.isfinite(value) and 0 <= value <= most
