"""The conductor: given a run's state and what just happened, says what comes next. It does nothing.

No time, no ids, no I/O: the same state and event always give the same decision, so a run can be
replayed, tested and taken up after a crash. State is plain data (soar.engine.run_state).

Rules
- A step waits its delay, then runs. `delay` counts once, before the first attempt.
- `timeout` bounds each attempt from the moment it may be performed, waits for approval included; of
  an opener it bounds the whole. What timed out has failed with ACTION_TIMEOUT.
- A failed attempt is made again while the step's `retry` allows it: backoff, then twice that, and so
  on, an hour at most. A timed-out one is not: the target may have acted, and nobody asked it yet.
  A partial one is not either: what was done stays done.
- `partial` is a failure, unless the step says that partial is ok.
- After success a branch goes on at on_success or on_completion, after failure at on_failure or
  on_completion. With none of these the branch has failed; in the main branch the playbook's
  workflow_exception is entered, once.
- An opener (parallel, if, while, switch) waits for all its branches. It fails when one of them failed,
  after the others have ended. Handlers run in the branch that failed; the end of a handler that does
  not continue ends that branch as failed.
- A parallel that acts together, or wants an approval, is prepared before its branches open.
- A condition that cannot be read is asked of a person. A loop still true after `max` turns has failed.
- The run has succeeded when the main branch came to its end, else it has failed.
- An event of a past attempt, of an ended step or of an ended run changes nothing.
- Cancel ends everything that is open; what is being performed is abandoned.

Each step moves by this table and by nothing else:
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from soar.engine import routes
from soar.engine.binding import variables_at
from soar.engine.routes import members
from soar.engine.run_state import Branch, Occurrence, RunState, RunStatus, StepStatus
from soar.engine.signals import (
    Abandon,
    Arm,
    CancelRequested,
    Decision,
    Finish,
    Perform,
    PerformKind,
    RunEvent,
    StepEnded,
    TimerFired,
    Todo,
)
from soar.playbook.durations import in_seconds
from soar.playbook.model import (
    ActionStep,
    EndStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    StartStep,
    Step,
    WhileStep,
)

__all__ = [
    "MOVES", "Abandon", "Arm", "CancelRequested", "Decision", "Finish", "Perform", "StepEnded", "TimerFired", "feed",
    "members", "start",
]  # fmt: skip

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
}
"""(status, what happens) -> new status. A pair that is not here cannot happen."""

ACTION_TIMEOUT = "ACTION_TIMEOUT"
MAX_VISITS = 1_000
"""Visits of one step in one branch; only a foreign playbook that goes in circles comes near."""

LONGEST_BACKOFF = 3_600


def start(playbook: Playbook, inputs: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Decision:
    """Begin a run with these variables. `facts` are `alert`, `incident` and `scope` for its first conditions."""
    state = RunState(variables=dict(inputs), branches={"": Branch(id="")})
    turn = _Turn(playbook, state, facts or {})
    turn.later(turn.enter, "", playbook.workflow_start)
    return turn.decision()


def feed(playbook: Playbook, state: RunState, event: RunEvent, facts: Mapping[str, Any]) -> Decision:
    """Take one event. A stale one gives the state back as it is, and nothing to do."""
    if state.status != "running":
        return Decision(state=state)
    turn = _Turn(playbook, state, facts)
    match event:
        case StepEnded():
            turn.ended(event)
        case TimerFired():
            turn.fired(event)
        case CancelRequested():
            turn.cancelled(event.reason)
    return turn.decision()


class _Turn:
    """One decision in the making: a working copy of the state, and what is still to be worked out.

    What follows from what is kept in an agenda instead of on the stack, so that a long chain of
    steps that end at once does not recurse.
    """

    def __init__(self, playbook: Playbook, state: RunState, facts: Mapping[str, Any]) -> None:
        self.playbook = playbook
        self.before = state
        self.facts = facts
        self.steps = dict(state.steps)
        self.branches = dict(state.branches)
        self.status: RunStatus = state.status
        self.reason = state.reason
        self.excepting = state.excepting
        self.todo: list[Todo] = []
        self.agenda: deque[Callable[[], None]] = deque()

    def later(self, what: Callable[..., None], *args: Any) -> None:
        self.agenda.append(partial(what, *args))

    def decision(self) -> Decision:
        """Work the agenda off, and say what came of it."""
        while self.agenda:
            self.agenda.popleft()()
        return Decision(state=self.state(), todo=tuple(self.todo))

    def state(self) -> RunState:
        return RunState(
            status=self.status, reason=self.reason, variables=self.before.variables, branches=self.branches,
            steps=self.steps, excepting=self.excepting,
        )  # fmt: skip

    # --- events --------------------------------------------------------------------------------

    def ended(self, event: StepEnded) -> None:
        visit = self.steps.get(event.occurrence)
        if visit is None or visit.status != "running" or visit.attempt != event.attempt:
            return
        step = self.playbook.workflow[visit.step_id]
        if isinstance(step, ActionStep):
            self._performed(visit, step, event)
        elif visit.asked == "prepare":
            self._prepared(visit, step, event)
        elif visit.asked == "decide":
            visit = self._move(visit, "turn", asked="")
            if event.result == "failed":
                self._settle(visit, "failed", reason=event.reason or "nobody decided")
            else:
                self._decided(visit, step, event.outputs.get("branch"))

    def fired(self, event: TimerFired) -> None:
        visit = self.steps.get(event.occurrence)
        if visit is None:
            return
        same = visit.attempt == event.attempt
        if event.kind == "delay" and visit.status == "delayed" and same:
            self._begin(visit)
        elif event.kind == "retry" and visit.status == "waiting_retry" and same:
            self._perform(self._move(visit, "go"))
        elif event.kind == "timeout" and visit.status == "running":
            # An opener lives once: the attempt of a loop is its turn, and says nothing about the timer.
            opener = not isinstance(self.playbook.workflow[visit.step_id], ActionStep)
            if same or opener:
                self._timed_out(visit, opener=opener)

    def cancelled(self, reason: str) -> None:
        self._cancel_all(lambda _: True)
        self._finish("cancelled", reason)

    # --- a step's way --------------------------------------------------------------------------

    def enter(self, branch: str, step_id: str) -> None:
        """A branch comes to a step."""
        step = self.playbook.workflow[step_id]
        if isinstance(step, StartStep):
            self.later(self.enter, branch, step.on_completion)
        elif isinstance(step, EndStep):
            failed = bool(step.soar and step.soar.ends == "failed") or (self.excepting and not branch)
            self.later(self.close, branch, not failed)
        else:
            self._visit(branch, step)

    def _visit(self, branch: str, step: Step) -> None:
        count, name = next(
            (count, name)
            for count, name in enumerate(routes.visits(routes.visit_name(branch, step)), 1)
            if name not in self.steps
        )
        visit = Occurrence(id=name, step_id=step.id, branch=branch)
        if count > MAX_VISITS:
            self._settle(self._move(visit, "go"), "failed", reason="the playbook goes in circles")
        elif step.delay:
            self._move(visit, "wait")
            self.todo.append(Arm(occurrence=name, attempt=1, kind="delay", seconds=in_seconds(step.delay)))
        else:
            self._begin(visit)

    def _begin(self, visit: Occurrence) -> None:
        visit = self._move(visit, "go")
        step = self.playbook.workflow[visit.step_id]
        if isinstance(step, ActionStep):
            self._perform(visit)
            return
        self._arm_timeout(visit, step)
        if isinstance(step, PlaybookActionStep):
            self._settle(visit, "failed", reason="a playbook inside a playbook is not supported yet")
        elif not isinstance(step, ParallelStep):
            self._ask_condition(visit, step)
        elif step.soar and (step.soar.together or step.soar.approval):
            self._ask(visit, "prepare")
        else:
            self._open(visit, routes.branches_of(visit.id, step))

    def _perform(self, visit: Occurrence) -> None:
        step = self.playbook.workflow[visit.step_id]
        kind = routes.kind_of(step) if isinstance(step, ActionStep) else "action"
        self._say(visit, kind)
        self._arm_timeout(visit, step)

    def _performed(self, visit: Occurrence, step: ActionStep, event: StepEnded) -> None:
        retry = step.soar.retry if step.soar else None
        if event.result == "failed" and retry is not None and visit.attempt < retry.max:
            pause = min(retry.backoff * 2 ** (visit.attempt - 1), LONGEST_BACKOFF)
            visit = self._move(visit, "again", attempt=visit.attempt + 1, reason=event.reason)
            self.todo.append(Arm(occurrence=visit.id, attempt=visit.attempt, kind="retry", seconds=pause))
        else:
            self._settle(visit, event.result, outputs=event.outputs, reason=event.reason)

    def _timed_out(self, visit: Occurrence, *, opener: bool) -> None:
        if opener:
            self._cancel_all(lambda branch: branch.startswith(f"{visit.id}/"))
        if visit.asked or not opener:
            self.todo.append(Abandon(occurrence=visit.id, attempt=visit.attempt))
        self._settle(visit, "failed", reason=ACTION_TIMEOUT)

    def _settle(
        self, visit: Occurrence, result: str, *, outputs: Mapping[str, Any] | None = None, reason: str = ""
    ) -> None:
        """End a visit, and send its branch on."""
        self._move(visit, result, outputs=dict(outputs or {}), reason=reason, asked="")
        step = self.playbook.workflow[visit.step_id]
        tolerant = bool(step.soar and step.soar.partial_ok)
        good = result in ("ok", "nothing") or (result == "partial" and tolerant)
        following = (step.on_success if good else step.on_failure) or step.on_completion
        if not good or not following:
            said = f"{step.label}: {reason or ('leads nowhere' if good else result)}"
            self.branches[visit.branch] = replace(self.branches[visit.branch], reason=said)
        if following:
            self.later(self.enter, visit.branch, following)
        else:
            self.later(self._unhandled, visit.branch)

    # --- openers and branches ------------------------------------------------------------------

    def _ask_condition(self, visit: Occurrence, step: Step) -> None:
        facts = {**self.facts, "variables": variables_at(self.playbook, self.state(), visit.id)}
        said = routes.answer(step, facts)
        if said is None:
            self._ask(visit, "decide")
        else:
            self._decided(visit, step, said)

    def _decided(self, visit: Occurrence, step: Step, said: Any) -> None:
        chosen = routes.choice(step, said, visit.attempt)
        if chosen is None:
            self._settle(visit, "failed", reason=f"{said!r} is no way to go")
        elif chosen == routes.NOTHING:
            turned = isinstance(step, WhileStep) and visit.attempt > 1
            self._settle(visit, "ok" if turned else "nothing")
        elif isinstance(step, WhileStep) and visit.attempt > routes.turns_at_most(step):
            self._settle(visit, "failed", reason=f"the condition still holds after {visit.attempt - 1} turns")
        else:
            self._open(visit, [(f"{visit.id}/{chosen[0]}", chosen[1])])

    def _prepared(self, visit: Occurrence, step: Step, event: StepEnded) -> None:
        visit = self._move(visit, "turn", asked="")
        if event.result == "failed":
            self._settle(visit, "failed", reason=event.reason)
        else:
            self._open(visit, routes.branches_of(visit.id, step))

    def _open(self, visit: Occurrence, branches: list[tuple[str, str]]) -> None:
        for branch, head in branches:
            self.branches[branch] = Branch(id=branch, opener=visit.id)
            self.later(self.enter, branch, head)
        if not branches:
            self._settle(visit, "nothing")

    def close(self, branch: str, ok: bool) -> None:
        """A branch came to its end; the last one sends its opener on."""
        ended = self.branches[branch]
        self.branches[branch] = replace(
            ended, status="succeeded" if ok else "failed", reason="" if ok else ended.reason
        )
        if not branch:
            self._finish("succeeded" if ok else "failed", self.branches[branch].reason)
            return
        siblings = [each for each in self.branches.values() if each.opener == ended.opener]
        visit = self.steps[ended.opener]
        if any(each.status == "running" for each in siblings):
            return
        step = self.playbook.workflow[visit.step_id]
        failed = [each.reason for each in siblings if each.status == "failed"]
        if failed:
            self._settle(visit, "failed", reason="; ".join(failed))
        elif isinstance(step, WhileStep):
            self._ask_condition(self._move(visit, "turn", attempt=visit.attempt + 1), step)
        else:
            self._settle(visit, "ok")

    def _unhandled(self, branch: str) -> None:
        """A failure that nothing in the branch takes up."""
        last_resort = self.playbook.workflow_exception
        if not branch and last_resort and not self.excepting:
            self.excepting = True
            self.enter(branch, last_resort)
        else:
            self.close(branch, ok=False)

    # --- small parts ---------------------------------------------------------------------------

    def _move(self, visit: Occurrence, happens: str, **changes: Any) -> Occurrence:
        moved = replace(visit, status=MOVES[visit.status, happens], **changes)
        self.steps[visit.id] = moved
        return moved

    def _say(self, visit: Occurrence, kind: PerformKind) -> None:
        self.todo.append(
            Perform(
                occurrence=visit.id, branch=visit.branch, step_id=visit.step_id, attempt=visit.attempt, kind=kind
            )
        )  # fmt: skip

    def _ask(self, visit: Occurrence, kind: PerformKind) -> None:
        """An opener wants an answer before it opens anything."""
        self._say(self._move(visit, "turn", asked=kind), kind)

    def _arm_timeout(self, visit: Occurrence, step: Step) -> None:
        if step.timeout:
            seconds = in_seconds(step.timeout)
            self.todo.append(Arm(occurrence=visit.id, attempt=visit.attempt, kind="timeout", seconds=seconds))

    def _cancel_all(self, inside: Callable[[str], bool]) -> None:
        """Cancel every open visit and branch whose branch id passes."""
        for visit in list(self.steps.values()):
            if visit.open and inside(visit.branch):
                performing = isinstance(self.playbook.workflow[visit.step_id], ActionStep) or visit.asked
                if visit.status == "running" and performing:
                    self.todo.append(Abandon(occurrence=visit.id, attempt=visit.attempt))
                self._move(visit, "cancel", asked="")
        for branch in list(self.branches.values()):
            if branch.status == "running" and inside(branch.id):
                self.branches[branch.id] = replace(branch, status="cancelled")

    def _finish(self, status: RunStatus, reason: str) -> None:
        self.status, self.reason = status, reason
        self.todo.append(Finish(status=status, reason=reason))
