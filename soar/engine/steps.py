"""Performs one step of a run: its actions, a question to a person, an undo, a group's preparation.

A step ends with a result, or it is parked: on an approval, a person, a poll, evidence. Parked work
costs nobody anything; what wakes it starts this code again from the rows, which say how far it is.

What touches the world happens in `perform`; what it returns is written by its caller, in the commit
that also ends the step and opens the next one. `ahead` and `enter` are the two halves of opening a
step: look outside of any transaction, then plan, guards and intent inside of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from soar.engine import callee, conductor, limits
from soar.engine.binding import bind, variables_at
from soar.engine.calls import Answer, Calls, Held
from soar.engine.entering import Ahead, Entered, Entering
from soar.engine.job import PAUSED, Done, Ended, Job, Parked, as_it_is
from soar.engine.joining import joined
from soar.engine.parts import Parts
from soar.errors import Invalid, NotFound, Refused
from soar.playbook.commands import IN_ORDER
from soar.playbook.model import Approval, Soar
from soar.protocol import GOOD, UNSENT, UNSETTLED, State
from soar.store import actions, tasks, work
from soar.store.rows import ActionRow
from soar.store.session import Tx

WATCH_LOOKS = 12
"""How many looks a watch takes over its whole time, at most one a second."""


class Steps:
    """Performs what the conductor asks for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.calls = Calls(parts)
        self.entering = Entering(parts)

    def perform(self, job: Job, entered: Entered | None = None) -> Done:
        """Do as much of the step as can be done now. Bad bindings end it as failed, with the reason.

        `entered`: the step was entered in the commit that ended the one before.
        """
        if job.work.notes.get(work.ABANDONED):
            return callee.call_off(job) if job.work.kind == "playbook" else self._settle(job)
        kinds: dict[str, Callable[[Job], Done]] = {
            "action": self._watch if job.soar.verb == "watch" and job.soar.for_ else partial(self._actions, entered),
            "undo": partial(self._actions, entered),
            "playbook": partial(callee.perform, self.parts),
            "prepare": self._group,
            "manual": self._manual,
            "decide": self._decide,
        }
        try:
            return kinds[job.work.kind](job)
        except (Invalid, NotFound, Refused) as error:
            return as_it_is(Ended("failed", reason=str(error)))

    # --- actions ---------------------------------------------------------------------------

    def _actions(self, entered: Entered | None, job: Job) -> Done:
        if entered is None:
            ahead = self.entering.ahead(job)
            entered = self.parts.store.write(partial(self._enter, job=job, ahead=ahead))
        if entered.waiting is not None:
            return as_it_is(entered.waiting)
        return self._carried_out(job, entered)

    def _enter(self, tx: Tx, job: Job, ahead: Ahead) -> Entered:
        return self.entering.enter(tx, job, ahead, work.check_fence(tx, job.work))

    def _carried_out(self, job: Job, entered: Entered) -> Done:
        """Call after call; the outcome of the last one is left for the commit that ends the step."""
        context = self.entering.context(job, entered.approval)
        rows, answer = list(entered.rows), None
        held = entered.held
        for index, row in enumerate(rows):
            if answer is not None:
                rows[index - 1] = self._keep(job, answer)
                answer = None
            if row.state is State.READY and (held or not self.entering.may_go(row, rows)):
                continue
            fresh = entered.intended if row.id == entered.calling else None
            found = self.calls.carry_out(row, context, intended=fresh)
            answer = found if isinstance(found, Answer) else None
            held = found.seconds if isinstance(found, Held) else held
            rows[index] = found if isinstance(found, ActionRow) else found.action
        return self._result(job, rows, answer, replace(entered, held=held))

    def _keep(self, job: Job, answer: Answer) -> ActionRow:
        def write(tx: Tx) -> ActionRow:
            work.check_fence(tx, job.work)
            return answer.write(tx)

        return self.parts.store.write(write)

    def _result(self, job: Job, rows: list[ActionRow], answer: Answer | None, entered: Entered) -> Done:
        at = next((index for index, row in enumerate(rows) if answer and row.id == answer.action.id), -1)

        def write(tx: Tx) -> Ended | Parked:
            now = [answer.write(tx) if answer and index == at else row for index, row in enumerate(rows)]
            now = self._spared(tx, now)
            return self._standing(job, now, entered) or _ended(now, entered.left_out)

        expected = rows
        if answer is not None and answer.applied is not None:
            expected = [*rows]
            expected[at] = rows[at].but(state=State.DONE, outputs=answer.applied.outputs)
        return Done(write, self._standing(job, expected, entered) or _ended(expected, entered.left_out))

    def _spared(self, tx: Tx, rows: Sequence[ActionRow]) -> list[ActionRow]:
        """Where a canary failed, or a command, what was not sent yet never is."""
        if not limits.waves(rows, self.parts.policy):
            return list(rows)
        wave = limits.wave(rows, self.parts.policy)
        return [
            actions.move(tx, row, State.CANCELLED, summary=wave.why) if row.id in wave.stopped else row for row in rows
        ]

    def _settle(self, job: Job) -> Done:
        """Nobody waits for this step any more; what it sent must come to its outcome all the same."""
        rows = self._settled(job)
        if any(row.state in UNSETTLED - {State.IN_DOUBT} for row in rows):
            return as_it_is(Parked("called off; its last call is not settled yet", seconds=self.parts.poll_seconds))
        return as_it_is(Ended("failed", reason="called off"))

    def settle_paused(self, job: Job) -> Done:
        """The run is paused: what was sent comes to its outcome, nothing new is begun."""
        rows = self._settled(job)
        if any(row.state in UNSETTLED - {State.IN_DOUBT} for row in rows):
            return as_it_is(Parked("paused; its last call is not settled yet", seconds=self.parts.poll_seconds))
        return as_it_is(PAUSED)

    def _settled(self, job: Job) -> list[ActionRow]:
        with self.parts.store.read() as conn:
            rows = actions.of_step(conn, f"run:{job.run.id}", job.work.occurrence, job.work.attempt)
        context = self.entering.context(job, None)
        return [self.calls.finish(row, context) if row.state in UNSETTLED else row for row in rows]

    def _standing(self, job: Job, rows: Sequence[ActionRow], entered: Entered) -> Parked | None:
        """What still keeps the step open after its calls."""
        waiting = [row for row in rows if row.state is State.WAITING]
        if waiting:
            return self.entering.ask(job, [(row, entered.approval) for row in waiting])
        if any(row.state is State.IN_DOUBT for row in rows):
            return Parked("in doubt: a person must say what happened")
        if any(row.state in (State.ACCEPTED, State.CONFIRMED) for row in rows):
            return Parked("accepted by the target, not in effect yet", seconds=self.parts.poll_seconds)
        if any(row.state in UNSENT for row in rows):
            return Parked("not ready yet", seconds=entered.held or self.parts.poll_seconds)
        return None

    # --- a group that acts together ----------------------------------------------------------

    def _group(self, job: Job) -> Done:
        """Every guard and approval of the group's actions passes before the first call of any."""
        parts: list[tuple[Soar, Ahead]] = []
        for member in conductor.members(job.playbook, job.state, job.work.occurrence):
            soar = job.playbook.workflow[member.step_id].soar or Soar()
            parts.append((soar, self.entering.ahead(job, member.occurrence, member.step_id, member.attempt)))
        return as_it_is(self.parts.store.write(partial(self._prepared, job=job, parts=parts)))

    def _prepared(self, tx: Tx, job: Job, parts: Sequence[tuple[Soar, Ahead]]) -> Ended | Parked:
        standing = work.check_fence(tx, job.work)
        looked: list[tuple[ActionRow, Approval | None]] = []
        tolerant: set[str] = set()
        for soar, ahead in parts:
            rows, approval = self.entering.considered(tx, job, ahead, soar.approval or job.approval)
            looked.extend((row, approval) for row in rows)
            tolerant.update(row.id for row in rows if soar.partial_ok)
        waiting = PAUSED if standing.paused else self.entering.waits(job, looked)
        if waiting is not None:
            return waiting
        final = [row for row, _ in looked]
        stopped = [row for row in final if row.state not in GOOD | {State.READY} and row.id not in tolerant]
        if not stopped:
            return Ended("ok")
        said = "; ".join(f"{row.verb} on {row.target_name}: {row.state.value}, {row.summary}" for row in stopped)
        for row in final:
            now = actions.again(tx, row)
            if now.state in UNSENT:
                actions.move(tx, now, State.CANCELLED, summary="another action of the group may not run")
        return Ended("failed", reason=f"together means all or none; {said}")

    # --- persons -----------------------------------------------------------------------------

    def _manual(self, job: Job) -> Done:
        return self._question(job, "manual", job.soar.manual or "", dict(job.soar.outputs or {}))

    def _decide(self, job: Job) -> Done:
        step = job.playbook.workflow[job.work.step_id]
        text = f"Which way? {getattr(step, 'condition', None) or getattr(step, 'switch', '')}"
        return self._question(job, "decide", text, {"branch": "any"})

    def _question(self, job: Job, kind: str, text: str, asks: Mapping[str, str]) -> Done:
        with self.parts.store.read() as conn:
            asked = tasks.find(conn, work_id=job.work.id)
        if asked and asked[0].status == "done":
            return as_it_is(Ended("ok", outputs=asked[0].answer))
        if asked:
            return as_it_is(Parked("waits for a person"))
        ask = partial(
            tasks.open_task, incident_id=job.run.incident_id, kind=kind, text=text, asks=asks, run_id=job.run.id,
            work_id=job.work.id, within=job.soar.within,
        )  # fmt: skip
        return as_it_is(Parked("waits for a person", ask))

    # --- watching ----------------------------------------------------------------------------

    def _watch(self, job: Job) -> Done:
        """Look again and again for as long as the step says; a hit ends it, and contains the host again."""
        total = float(bind(job.soar.for_, variables_at(job.playbook, job.state, job.work.occurrence)))
        looks = max(1, min(WATCH_LOOKS, int(total)))
        nth = int(job.work.notes.get("look", 0)) + 1
        ahead = self.entering.ahead(job, f"{job.work.occurrence}@{nth}")
        entered = self.parts.store.write(partial(self._enter, job=job, ahead=ahead))
        context, intended = self.entering.context(job, None), entered.intended
        rows = [
            self.calls.finish(row, context, intended=intended if row.id == entered.calling else None)
            for row in entered.rows
        ]
        hits = [hit for row in rows for hit in row.outputs.get("hits", [])]
        if hits:
            again = [row.target.id for row in rows if row.outputs.get("hits")]
            said = f"seen again: {', '.join(map(str, hits))}"
            return as_it_is(Ended("failed", outputs={"hits": hits, "again": again}, reason=said))
        blind = int(job.work.notes.get("blind", 0)) + any(row.state not in GOOD for row in rows)
        if nth <= looks:
            notes = {"look": nth, "blind": blind}
            return as_it_is(Parked(f"watching, look {nth}", seconds=total / looks, notes=notes))
        if blind:
            said = f"{blind} of {nth} looks saw nothing, because they could not look"
            return as_it_is(Ended("failed", reason=said))
        return as_it_is(_ended(rows, {}))


def _ended(rows: Sequence[ActionRow], left_out: Mapping[str, str]) -> Ended:
    """A step's result from its actions' ends: ok, partial or failed, and their outputs as one."""
    good = [row for row in rows if row.state in GOOD]
    # Commands follow one another, and the last one brings the result; targets of a verb stand side by side.
    outputs = joined(rows[-1:] if rows and rows[0].verb in IN_ORDER else rows)
    if left_out:
        outputs["left_out"] = [{"observable": name, "why": why} for name, why in left_out.items()]
    bad = [row for row in rows if row.state not in GOOD]
    reason = "; ".join(f"{row.verb} on {row.target_name}: {row.state.value} ({row.summary})" for row in bad)
    if not bad:
        return Ended("ok", outputs, reason)
    return Ended("partial" if good else "failed", outputs, reason)
