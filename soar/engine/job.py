"""One piece of work with everything it belongs to, and the ways in which performing it can come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from soar.engine.run_state import RunState
from soar.engine.running import Known
from soar.engine.signals import Result
from soar.playbook.model import Approval, Playbook, Soar
from soar.store import work
from soar.store.rows import WorkRow
from soar.store.session import Tx


@dataclass(frozen=True, slots=True)
class Ended:
    """The step is over: ok, partial or failed."""

    result: Result
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """The step waits. `within_tx` runs in the commit that parks it (ask, open a task, set a timer)."""

    why: str
    within_tx: Callable[[Tx], Any] | None = None
    seconds: float | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


PAUSED = Parked("the run is paused")


@dataclass(frozen=True, slots=True)
class Done:
    """What a step came to, written by `write` in the commit that ends or parks it.

    `expected` is what that will return if everything is as it was seen.
    """

    write: Callable[[Tx], Ended | Parked]
    expected: Ended | Parked


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One claimed piece of work with everything it belongs to, as read when it was claimed."""

    work: WorkRow
    known: Known

    @property
    def run(self) -> Any:
        return self.known.row

    @property
    def playbook(self) -> Playbook:
        return self.known.playbook

    @property
    def state(self) -> RunState:
        return self.known.state

    @property
    def soar(self) -> Soar:
        return self.playbook.workflow[self.work.step_id].soar or Soar()

    @property
    def approval(self) -> Approval | None:
        """The approval that the playbook names for this step: its own, or that of the group it stands in."""
        step_id, branch = self.work.step_id, self.work.branch
        while True:
            soar = self.playbook.workflow[step_id].soar
            if soar is not None and soar.approval is not None:
                return soar.approval
            opener = self.state.branches[branch].opener if branch in self.state.branches else ""
            visit = self.state.steps.get(opener)
            if visit is None:
                return None
            step_id, branch = visit.step_id, visit.branch


def as_it_is(done: Ended | Parked) -> Done:
    """What is known already and needs nothing written first."""
    return Done(lambda _: done, done)


def parked(tx: Tx, row: WorkRow, how: Parked) -> None:
    """Write down that a step waits, and what will wake it."""
    notes = {**how.notes, "broke": how.notes.get("broke", 0)} if row.notes.get("broke") else how.notes
    if not work.park(tx, row, notes):
        return  # it is looked at again at once, and says then what it waits for
    if how.within_tx is not None:
        how.within_tx(tx)
    if how.seconds is not None:
        work.arm(tx, tx.now + timedelta(seconds=how.seconds), "wake", row.id)
