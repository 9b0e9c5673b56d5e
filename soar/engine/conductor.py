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
- What a step brings is kept with it; `out_args` write it to the innermost variable of that name, and a
  step whose result does not fit there has failed.
- An opener (parallel, if, while, switch) waits for all its branches. It fails when one of them failed,
  after the others have ended. Handlers run in the branch that failed; the end of a handler that does
  not continue ends that branch as failed.
- A parallel that acts together, or wants an approval, is prepared before its branches open.
- A condition that cannot be read is asked of a person. A loop still true after `max` turns has failed.
- The run has succeeded when the main branch came to its end, else it has failed.
- An event of a past attempt, of an ended step or of an ended run changes nothing.
- Cancel ends everything that is open; what is being performed is abandoned.
- A paused run takes in what happens and asks for nothing new: what it would have had performed is
  held, with the timeouts that begin with it, and comes once, in order, when it is resumed. Other
  timers run on. A run whose last step ends while it is paused has ended.
- A failed run is tried again where it broke: the steps whose failure ended their branches (not the
  handlers that followed) get a new attempt, and what they stand in is open again. Nothing that
  succeeded is done again; a group that was prepared and did not open is prepared anew as a whole.
- A step that is passed over has status skipped and no outputs; its branch goes on as after success.
  An opener is passed over only while it waits for its own answer, or where it broke itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soar.engine import routes, scopes
from soar.engine.binding import variables_at
from soar.engine.routes import members
from soar.engine.run_state import UNDER_WAY, Branch, Occurrence, RunState
from soar.engine.signals import (
    Abandon,
    Arm,
    CancelRequested,
    Decision,
    Finish,
    PauseRequested,
    Perform,
    ResumeRequested,
    RetryRequested,
    RunEvent,
    SkipRequested,
    StepEnded,
    TimerFired,
)
from soar.engine.turn import Turn, broken
from soar.errors import Invalid
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
    "Abandon", "Arm", "CancelRequested", "Decision", "Finish", "Perform", "StepEnded", "TimerFired", "feed", "members",
    "start",
]  # fmt: skip

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
    turn = _Turn(playbook, state, facts)
    if state.status in UNDER_WAY:
        turn.take(event)
    if state.status == "failed" and isinstance(event, RetryRequested | SkipRequested):
        turn.take_up(event)
    return turn.decision()


def skippable(playbook: Playbook, state: RunState) -> list[str]:
    """The occurrences that can be passed over now, in order."""
    if state.status not in UNDER_WAY:
        return broken(state)
    return [
        visit.id
        for visit in state.steps.values()
        if visit.open and (visit.status != "running" or visit.asked or _acts(playbook, visit))
    ]


def _acts(playbook: Playbook, visit: Occurrence) -> bool:
    return routes.performs(playbook.workflow[visit.step_id])


class _Turn(Turn):
    """Which way the run goes."""

    def __init__(self, playbook: Playbook, state: RunState, facts: Mapping[str, Any]) -> None:
        super().__init__(playbook, state)
        self.facts = facts

    # --- events --------------------------------------------------------------------------------

    def take(self, event: RunEvent) -> None:
        """What happens to a run under way."""
        match event:
            case StepEnded():
                self.ended(event)
            case TimerFired():
                self.fired(event)
            case CancelRequested():
                self.cancelled(event.reason)
            case PauseRequested():
                self.status = "paused"
            case ResumeRequested() if self.status == "paused":
                self.status = "running"
                self.release()
            case SkipRequested() if event.occurrence in skippable(self.playbook, self.before):
                visit = self.steps[event.occurrence]
                self.abandon(visit, f"skipped: {event.reason}")
                self._settle(visit, "skip", reason=f"skipped: {event.reason}")
            case _:
                pass  # nothing of the kind is possible now

    def take_up(self, event: RetryRequested | SkipRequested) -> None:
        """A failed run goes on where it broke."""
        for place in broken(self.before):
            if event.occurrence not in ("", place):
                continue
            visit = self.steps[place]
            self.reopen(visit.branch)
            if isinstance(event, SkipRequested):
                self._settle(visit, "skip", reason=f"skipped: {event.reason}")
            else:
                self._anew(visit)

    def ended(self, event: StepEnded) -> None:
        visit = self.steps.get(event.occurrence)
        if visit is None or visit.status != "running" or visit.attempt != event.attempt:
            return
        step = self.playbook.workflow[visit.step_id]
        if isinstance(step, ActionStep | PlaybookActionStep):
            self._performed(visit, step, event)
        elif visit.asked == "prepare":
            self._prepared(visit, step, event)
        elif visit.asked == "decide":
            visit = self.move(visit, "turn", asked="")
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
            self._perform(self.move(visit, "go"))
        elif event.kind == "timeout" and visit.status == "running":
            # The attempt of a loop is its turn; which of its timers is the right one is told by its life.
            opener = not _acts(self.playbook, visit)
            if (visit.life if opener else visit.attempt) == event.attempt:
                self._timed_out(visit, opener=opener)

    def cancelled(self, reason: str) -> None:
        self.cancel_all(lambda _: True, "the run was cancelled")
        self.finish("cancelled", reason)

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
        visit = Occurrence(id=name, step_id=step.id, branch=branch, attempt=self._first_attempt(branch, step))
        if count > MAX_VISITS:
            self._settle(self.move(visit, "go"), "failed", reason="the playbook goes in circles")
        elif step.delay:
            self.move(visit, "wait")
            self.todo.append(Arm(occurrence=name, attempt=visit.attempt, kind="delay", seconds=in_seconds(step.delay)))
        else:
            self._begin(visit)

    def _first_attempt(self, branch: str, step: Step) -> int:
        """That of the parallel around it, for they are prepared together; a loop counts its own turns."""
        around = self.steps.get(self.branches[branch].opener)
        if around is None or isinstance(step, WhileStep):
            return 1
        return around.attempt if isinstance(self.playbook.workflow[around.step_id], ParallelStep) else 1

    def _anew(self, visit: Occurrence) -> None:
        """Try again where the run broke."""
        visit = self.move(
            visit, "anew", attempt=visit.attempt + 1, life=visit.life + 1, asked="", outputs={}, reason=""
        )  # fmt: skip
        self._under_way(visit)

    def _begin(self, visit: Occurrence) -> None:
        step = self.playbook.workflow[visit.step_id]
        if step.step_variables:
            try:
                self._under_way(self.move(visit, "go", variables=scopes.own(step)))
            except Invalid as error:
                self._settle(self.move(visit, "go"), "failed", reason=error.message)
        else:
            self._under_way(self.move(visit, "go"))

    def _under_way(self, visit: Occurrence) -> None:
        step = self.playbook.workflow[visit.step_id]
        if routes.performs(step):
            self._perform(visit)
            return
        self.arm_timeout(visit, step)
        if not isinstance(step, ParallelStep):
            self._ask_condition(visit, step)
        elif step.soar and (step.soar.together or step.soar.approval):
            self.ask(visit, "prepare")
        else:
            self._open(visit, routes.branches_of(visit.id, step))

    def _perform(self, visit: Occurrence) -> None:
        step = self.playbook.workflow[visit.step_id]
        kind = routes.kind_of(step) if isinstance(step, ActionStep | PlaybookActionStep) else "action"
        self.say(visit, kind)
        self.arm_timeout(visit, step)

    def _performed(self, visit: Occurrence, step: Step, event: StepEnded) -> None:
        retry = step.soar.retry if step.soar else None
        if event.result == "failed" and retry is not None and visit.attempt < retry.max:
            pause = min(retry.backoff * 2 ** (visit.attempt - 1), LONGEST_BACKOFF)
            visit = self.move(visit, "again", attempt=visit.attempt + 1, reason=event.reason)
            self.todo.append(Arm(occurrence=visit.id, attempt=visit.attempt, kind="retry", seconds=pause))
            return
        result, reason = event.result, event.reason
        if result != "failed":
            try:
                scopes.write(self.playbook, step, visit.id, event.outputs, self.variables, self.steps)
            except Invalid as error:
                result, reason = "failed", error.message
        self._settle(self.steps[visit.id], result, outputs=event.outputs, reason=reason)

    def _timed_out(self, visit: Occurrence, *, opener: bool) -> None:
        if opener:
            self.cancel_all(lambda branch: branch.startswith(f"{visit.id}/"), "its time was over")
        self.abandon(visit, "its time was over")
        self._settle(visit, "failed", reason=ACTION_TIMEOUT)

    def _settle(
        self, visit: Occurrence, result: str, *, outputs: Mapping[str, Any] | None = None, reason: str = ""
    ) -> None:
        """End a visit, and send its branch on."""
        self.move(visit, result, outputs=dict(outputs or {}), reason=reason, asked="")
        step = self.playbook.workflow[visit.step_id]
        tolerant = bool(step.soar and step.soar.partial_ok)
        good = result in ("ok", "nothing", "skip") or (result == "partial" and tolerant)
        following = (step.on_success if good else step.on_failure) or step.on_completion
        said = "" if good and following else f"{step.label}: {reason or ('leads nowhere' if good else result)}"
        self.note_failure(visit, good=good, reason=said)
        if following:
            self.later(self.enter, visit.branch, following)
        else:
            self.later(self._unhandled, visit.branch)

    # --- openers and branches ------------------------------------------------------------------

    def _ask_condition(self, visit: Occurrence, step: Step) -> None:
        facts = {**self.facts, "variables": variables_at(self.playbook, self.state(), visit.id)}
        said = routes.answer(step, facts)
        if said is None:
            self.ask(visit, "decide")
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
            self._settle(visit, "failed", reason=f"the condition still holds after {routes.turns_at_most(step)} turns")
        else:
            self._open(visit, [(f"{visit.id}/{chosen[0]}", chosen[1])])

    def _prepared(self, visit: Occurrence, step: Step, event: StepEnded) -> None:
        visit = self.move(visit, "turn", asked="")
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
            self.finish("succeeded" if ok else "failed", self.branches[branch].reason)
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
            self._ask_condition(self.move(visit, "turn", attempt=visit.attempt + 1), step)
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
