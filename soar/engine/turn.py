"""One decision in the making: a working copy of a run's state, and what is to be done because of it. Pure.

The conductor says which way a run goes; here is how each move is written down, what a paused run
keeps back, and where a failed one is taken up again.

Each step moves by this table and by nothing else:
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from soar.engine import routes
from soar.engine.run_state import UNDER_WAY, Branch, Held, Occurrence, RunState, RunStatus, StepStatus
from soar.engine.signals import Abandon, Arm, Decision, Finish, Perform, PerformKind, Todo
from soar.playbook.durations import in_seconds
from soar.playbook.model import Playbook, Step

MOVES: Mapping[tuple[StepStatus, str], StepStatus] = {
    ("pending", "wait"): "delayed",
    ("pending", "go"): "running",
    ("delayed", "go"): "running",
    ("waiting_retry", "go"): "running",
    ("running", "turn"): "running",
    ("running", "again"): "waiting_retry",
    ("running", "ok"): "succeeded",
    ("running", "partial"): "partial",
    ("running", "failed"): "failed",
    ("running", "nothing"): "skipped",
    ("delayed", "cancel"): "cancelled",
    ("running", "cancel"): "cancelled",
    ("waiting_retry", "cancel"): "cancelled",
    # a person passes a step over
    ("delayed", "skip"): "skipped",
    ("running", "skip"): "skipped",
    ("waiting_retry", "skip"): "skipped",
    ("partial", "skip"): "skipped",
    ("failed", "skip"): "skipped",
    ("cancelled", "skip"): "skipped",
    # a person lets a failed run go on
    ("partial", "anew"): "running",
    ("failed", "anew"): "running",
    ("cancelled", "anew"): "running",
}
"""(status, what happens) -> new status. A pair that is not here cannot happen."""


class Turn:
    """What a decision is made of.

    What follows from what is kept in an agenda instead of on the stack, so that a long chain of
    steps that end at once does not recurse.
    """

    def __init__(self, playbook: Playbook, state: RunState) -> None:
        self.playbook = playbook
        self.before = state
        self.variables = dict(state.variables)
        self.steps = dict(state.steps)
        self.branches = dict(state.branches)
        self.status: RunStatus = state.status
        self.reason = state.reason
        self.excepting = state.excepting
        self.held = list(state.held)
        self.todo: list[Todo] = []
        self.agenda: deque[Callable[[], None]] = deque()

    def later(self, what: Callable[..., None], *args: Any) -> None:
        self.agenda.append(partial(what, *args))

    def decision(self) -> Decision:
        """Work the agenda off, and say what came of it."""
        while self.agenda:
            self.agenda.popleft()()
        todo = tuple(each for each in self.todo if not self._kept_back(each))
        if self.status not in UNDER_WAY:
            self.held = []
        return Decision(state=self.state(), todo=todo)

    def state(self) -> RunState:
        return RunState(
            status=self.status, reason=self.reason, variables=self.variables, branches=self.branches,
            steps=self.steps, excepting=self.excepting, held=tuple(self.held),
        )  # fmt: skip

    # --- moves ---------------------------------------------------------------------------------

    def move(self, visit: Occurrence, happens: str, **changes: Any) -> Occurrence:
        moved = replace(visit, status=MOVES[visit.status, happens], **changes)
        self.steps[visit.id] = moved
        return moved

    def say(self, visit: Occurrence, kind: PerformKind) -> None:
        self.todo.append(
            Perform(
                occurrence=visit.id, branch=visit.branch, step_id=visit.step_id, attempt=visit.attempt, kind=kind
            )
        )  # fmt: skip

    def ask(self, visit: Occurrence, kind: PerformKind) -> None:
        """An opener wants an answer before it opens anything."""
        self.say(self.move(visit, "turn", asked=kind), kind)

    def arm_timeout(self, visit: Occurrence, step: Step) -> None:
        """Of an action for this attempt, of an opener for this life."""
        if step.timeout:
            which = visit.attempt if routes.performs(step) else visit.life
            self.todo.append(
                Arm(occurrence=visit.id, attempt=which, kind="timeout", seconds=in_seconds(step.timeout))
            )  # fmt: skip

    def abandon(self, visit: Occurrence, why: str) -> None:
        """Call off what is being performed at an open visit, if anything is."""
        performing = routes.performs(self.playbook.workflow[visit.step_id]) or visit.asked
        if visit.status == "running" and performing:
            self.todo.append(Abandon(occurrence=visit.id, attempt=visit.attempt, why=why))

    def cancel_all(self, inside: Callable[[str], bool], why: str) -> None:
        """Cancel every open visit and branch whose branch id passes."""
        for visit in list(self.steps.values()):
            if visit.open and inside(visit.branch):
                self.abandon(visit, why)
                self.move(visit, "cancel", asked="")
                self.branches[visit.branch] = replace(self.branches[visit.branch], broken_at=visit.id)
        for branch in list(self.branches.values()):
            if branch.status == "running" and inside(branch.id):
                self.branches[branch.id] = replace(branch, status="cancelled")

    def finish(self, status: RunStatus, reason: str) -> None:
        self.status, self.reason = status, reason
        self.todo.append(Finish(status=status, reason=reason))

    def note_failure(self, visit: Occurrence, *, good: bool, reason: str) -> None:
        """Keep where and why a branch broke. What a handler meets is no new place."""
        branch = self.branches[visit.branch]
        handling = routes.in_handler(self.playbook.workflow[visit.step_id]) or (self.excepting and not branch.id)
        place = branch.broken_at if handling and branch.broken_at else ("" if good else visit.id)
        self.branches[branch.id] = replace(branch, broken_at=place, reason=reason or branch.reason)

    # --- pause ---------------------------------------------------------------------------------

    def _kept_back(self, todo: Todo) -> bool:
        """Whether this is for later, or, where it calls off what was for later, for never."""
        if isinstance(todo, Abandon):
            mine = [each for each in self.held if each.occurrence == todo.occurrence]
            self.held = [each for each in self.held if each not in mine]
            return any(each.attempt == todo.attempt and each.kind != "timeout" for each in mine)
        if self.status != "paused":
            return False
        if isinstance(todo, Perform):
            self.held.append(Held(occurrence=todo.occurrence, attempt=todo.attempt, kind=todo.kind))
        elif isinstance(todo, Arm) and todo.kind == "timeout":
            self.held.append(
                Held(occurrence=todo.occurrence, attempt=todo.attempt, kind="timeout", seconds=todo.seconds)
            )  # fmt: skip
        else:
            return False
        return True

    def release(self) -> None:
        """Do what was kept back, in order."""
        for each in self.held:
            visit = self.steps[each.occurrence]
            if each.kind != "timeout":
                self.say(visit, cast("PerformKind", each.kind))
            elif visit.open:
                self.todo.append(
                    Arm(occurrence=visit.id, attempt=each.attempt, kind="timeout", seconds=each.seconds)
                )  # fmt: skip
        self.held = []

    # --- a run that goes on --------------------------------------------------------------------

    def reopen(self, branch: str) -> None:
        """A branch that broke goes on, and so does everything around it."""
        self.branches[branch] = replace(self.branches[branch], status="running", reason="", broken_at="")
        opener = self.branches[branch].opener
        if not opener:
            self.status, self.reason, self.excepting = "running", "", False
            return
        visit = self.steps[opener]
        if not visit.open:
            visit = self.move(visit, "anew", life=visit.life + 1, reason="", outputs={})
            self.arm_timeout(visit, self.playbook.workflow[visit.step_id])
            self.reopen(visit.branch)


def broken(state: RunState) -> list[str]:
    """The occurrences where a failed run broke, in order: there it can be tried again, or passed over."""
    return list(_broken(state, "")) if state.status == "failed" else []


def _broken(state: RunState, branch: str) -> Iterator[str]:
    place = state.branches[branch].broken_at
    if not place:
        return
    inside = [each.id for each in state.branches.values() if each.opener == place and _broke(each)]
    if not inside:
        yield place
    for each in inside:
        yield from _broken(state, each)


def _broke(branch: Branch) -> bool:
    return branch.status in ("failed", "cancelled")
