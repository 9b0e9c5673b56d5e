"""Findings, and the score that they leave.

Each area begins with 100 points. An amber finding takes 20, a red one 40, and never more than are
there; an area with a red finding has at most 50. The score is the weighted mean of the areas,
rounded down, so that 100 means that nothing was found. To mend a finding never lowers it. A note
costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FULL = 100
RED_CAP = 50


class Level(StrEnum):
    """How bad it is: red keeps an incident from being handled, amber makes it worse, a note is to be known."""

    RED = "red"
    AMBER = "amber"
    NOTE = "note"


COSTS: Mapping[Level, int] = {Level.RED: 40, Level.AMBER: 20, Level.NOTE: 0}


class Area(StrEnum):
    """What a drill looks at. The last two belong to a drill in the lab."""

    SYSTEMS = "systems"
    PLAYBOOKS = "playbooks"
    PEOPLE = "people"
    PROTECTION = "protection"
    EVIDENCE = "evidence"
    LIBRARY = "library"
    COVERAGE = "coverage"
    OPERATION = "operation"
    RUNS = "runs"
    LEFTOVERS = "leftovers"


WEIGHTS: Mapping[Area, int] = {
    Area.SYSTEMS: 15,
    Area.PLAYBOOKS: 15,
    Area.PEOPLE: 20,
    Area.PROTECTION: 15,
    Area.EVIDENCE: 15,
    Area.LIBRARY: 10,
    Area.COVERAGE: 5,
    Area.OPERATION: 5,
}
"""How much each area of the configured estate counts; together 100."""
LAB_WEIGHTS: Mapping[Area, int] = {Area.RUNS: 80, Area.LEFTOVERS: 20}
"""The same for a drill in the lab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    `code` is the stable word for its kind and `subject` what it is about; both may stand in an event
    for ever, so a subject is an id or a name of a system, a playbook, a technique, never of a person.
    `what` says what was seen, `why` why it matters, `mend` what to do.
    """

    area: Area
    level: Level
    code: str
    subject: str = ""
    what: str
    why: str
    mend: str

    @property
    def key(self) -> str:
        """By this it is known again in the next drill."""
        return f"{self.area.value}.{self.code}" + (f"/{self.subject}" if self.subject else "")

    def as_plain(self) -> dict[str, Any]:
        """The finding as JSON-ready data."""
        return {
            "area": self.area.value, "severity": self.level.value, "code": self.code, "subject": self.subject,
            "what": self.what, "why": self.why, "mend": self.mend, "key": self.key,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaScore:
    """How many of 100 points an area has left, how much it counts, and what was found there."""

    area: Area
    weight: int
    points: int
    red: int
    amber: int

    def as_plain(self) -> dict[str, Any]:
        """The area as JSON-ready data."""
        return {
            "area": self.area.value, "weight": self.weight, "points": self.points, "red": self.red,
            "amber": self.amber,
        }  # fmt: skip


def areas(findings: Iterable[Finding], weights: Mapping[Area, int] = WEIGHTS) -> tuple[AreaScore, ...]:
    """The points of each area, in the order of the weights."""
    found = list(findings)
    return tuple(_area(area, weight, [each.level for each in found if each.area is area])
                 for area, weight in weights.items())  # fmt: skip


def total(scored: Iterable[AreaScore]) -> int:
    """The score, 0 to 100."""
    parts = list(scored)
    weights = sum(each.weight for each in parts)
    return sum(each.weight * each.points for each in parts) // weights if weights else 0


def _area(area: Area, weight: int, levels: list[Level]) -> AreaScore:
    red = levels.count(Level.RED)
    left = max(0, FULL - sum(COSTS[level] for level in levels))
    return AreaScore(
        area=area, weight=weight, points=min(left, RED_CAP) if red else left, red=red, amber=levels.count(Level.AMBER)
    )
