"""The readiness report: every check is asked, the score follows, and two reports are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soar.readiness import coverage, house, library, people, systems
from soar.readiness.facts import Facts
from soar.readiness.score import COSTS, WEIGHTS, Area, AreaScore, Finding, Level, areas, total

Check = Callable[[Facts], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    systems.answering,
    systems.rights,
    systems.modules,
    systems.inventory,
    systems.able,
    systems.library,
    people.approvals,
    people.starters,
    people.commanders,
    house.protected,
    house.never_block,
    house.vault,
    house.key,
    house.clock,
    library.signatures,
    library.validity,
    library.freshness,
    coverage.seen,
    coverage.declared,
    house.switches,
    house.overdue,
    house.tasks,
)
"""What a drill of the configured estate asks."""
_WORST_FIRST = list(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a drill found. `ready` says that nothing red was; `rows` are more facts, as JSON-ready data."""

    score: int
    areas: tuple[AreaScore, ...]
    findings: tuple[Finding, ...]
    rows: tuple[Mapping[str, Any], ...] = ()

    @property
    def ready(self) -> bool:
        return all(finding.level is not Level.RED for finding in self.findings)

    def as_plain(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        return {
            "score": self.score, "ready": self.ready, "areas": [each.as_plain() for each in self.areas],
            "findings": [each.as_plain() for each in self.findings], "rows": [dict(each) for each in self.rows],
        }  # fmt: skip


def assess(facts: Facts) -> Report:
    """The report on the configured estate; its rows are the techniques and who is there for them."""
    return report([finding for check in CHECKS for finding in check(facts)], rows=coverage.table(facts))


def report(
    findings: Iterable[Finding], weights: Mapping[Area, int] = WEIGHTS, rows: Iterable[Mapping[str, Any]] = ()
) -> Report:
    """The report that these findings make, the worst of the heaviest area first."""
    order = list(weights)
    found = sorted(findings, key=lambda each: (_WORST_FIRST.index(each.level), order.index(each.area)))
    scored = areas(found, weights)
    return Report(score=total(scored), areas=scored, findings=tuple(found), rows=tuple(rows))


def costly(found: Sequence[Finding]) -> tuple[str, ...]:
    """The keys of the findings that cost points, in order, each once."""
    return tuple(dict.fromkeys(each.key for each in found if COSTS[each.level]))


def compared(before: Sequence[str], now: Sequence[str]) -> dict[str, list[str]]:
    """Keys of findings that are new, gone, and still there."""
    then, today = set(before), set(now)
    return {
        "new": [key for key in now if key not in then],
        "gone": [key for key in before if key not in today],
        "still": [key for key in now if key in then],
    }
