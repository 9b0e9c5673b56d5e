"""Rehearses the cases of a file: play each, compare it with what it expects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from soar.rehearsal.comparing import Difference, differences
from soar.rehearsal.coverage import Coverage, coverage
from soar.rehearsal.model import Case, Rehearsal
from soar.rehearsal.stage import Played, play


@dataclass(frozen=True, slots=True)
class Shown:
    """One case after it was played."""

    case: Case
    played: Played
    differences: tuple[Difference, ...]

    @property
    def as_expected(self) -> bool:
        return not self.differences


def rehearse(rehearsal: Rehearsal) -> list[Shown]:
    """Play every case. Changes nothing anywhere; the same rehearsal always shows the same."""
    shown = []
    for case in rehearsal.cases:
        played = play(rehearsal.playbook, rehearsal.names, case.given)
        found = differences(rehearsal.playbook, rehearsal.names, case, played)
        shown.append(Shown(case, played, tuple(found)))
    return shown


def covered(rehearsal: Rehearsal, shown: Iterable[Shown]) -> Coverage:
    """What these cases, of this rehearsal and of others of the same playbook, have walked together."""
    return coverage(rehearsal.playbook, rehearsal.names, (each.played.state for each in shown))
