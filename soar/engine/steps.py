"""Performs one step of a run: its actions, a question to a person, an undo, a group's preparation.

A step ends with a result, or it is parked: on an approval, a person, a poll, evidence. Parked work
costs nobody anything; what wakes it starts this code again from the rows, which say how far it is.

What touches the world happens in `perform`; what it returns is written by its caller, in the commit
that also ends the step and opens the next one. `ahead` and `enter` are the two halves of opening a
step: look outside of any transaction, then plan, guards and intent inside of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from soar.clock import boot_seconds
from soar.engine import approving, conductor, limits, planning, releasing
from soar.engine.binding import bind, variables_at
from soar.engine.calls import Answer, Calls, Held
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.engine.prepare import Look, consider, intend, look
from soar.engine.run_state import RunState
from soar.engine.running import Known
from soar.engine.signals import Result
from soar.errors import Invalid, NotFound
from soar.events import moment, stamp
from soar.model import ENGINE
from soar.playbook.model import Approval, Playbook, Soar
from soar.protocol import GOOD, UNSENT, UNSETTLED, State
from soar.store import actions, tasks, work
from soar.store.rows import ActionRow, WorkRow
from soar.store.session import Tx
from soar.store.work import Standing

POLL_SECONDS = 1.0
WATCH_LOOKS = 12
"""How many looks a watch takes over its whole time, at most one a second."""


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


@dataclass(frozen=True, slots=True)
class Ahead:
    """Actions that are not sent yet, stored or not, and what was seen at their targets just now."""

    occurrence: str
    attempt: int
    rows: tuple[ActionRow, ...]
    looks: Mapping[str, Look]
    left_out: Mapping[str, str] = field(default_factory=dict)
    new: bool = False
    """Planned for work that did not exist then."""

    def fits(self, row: WorkRow) -> bool:
        """These are the actions of this work."""
        return (self.occurrence, self.attempt) == (row.occurrence, row.attempt)


@dataclass(slots=True)
class Entered:
    """A step's actions after guards: `waiting` says what for, else one of them may be calling."""

    rows: list[ActionRow]
    left_out: Mapping[str, str]
    approval: Approval | None
    waiting: Parked | None = None
    calling: str = ""
    """The action whose intent was stored when the step was entered, if there is one."""
    intended: float = 0.0
    """Boot time right after that commit."""
    held: float = 0.0
    """Seconds until the connected system takes the first call."""


class Steps:
    """Performs what the conductor asks for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.calls = Calls(parts)

    def perform(self, job: Job, entered: Entered | None = None) -> Done:
        """Do as much of the step as can be done now. Bad bindings end it as failed, with the reason.

        `entered`: the step was entered in the commit that ended the one before.
        """
        if job.work.notes.get(work.ABANDONED):
            return self._settle(job)
        kinds: dict[str, Callable[[Job], Done]] = {
            "action": self._watch if job.soar.verb == "watch" and job.soar.for_ else partial(self._actions, entered),
            "undo": partial(self._actions, entered),
            "prepare": self._group,
            "manual": self._manual,
            "decide": self._decide,
        }
        try:
            return kinds[job.work.kind](job)
        except (Invalid, NotFound) as error:
            return _as_it_is(Ended("failed", reason=str(error)))

    # --- actions ---------------------------------------------------------------------------

    def ahead(self, job: Job, occurrence: str = "", *, new: bool = False) -> Ahead:
        """The step's actions, as stored or as planned now, and a look at each that is not sent.

        Touches nothing. `new`: the work does not exist yet, so nothing can be stored. Raises Invalid
        and NotFound for a step that cannot be planned.
        """
        return self._ahead(job, occurrence or job.work.occurrence, job.soar, job.work.attempt, new=new)

    def enter(self, tx: Tx, job: Job, ahead: Ahead, standing: Standing) -> Entered:
        """Store what was planned, ask the guards, and where nothing waits store the first intent."""
        rows = [actions.insert(tx, row, new=ahead.new) if row.state is State.PLANNED else row for row in ahead.rows]
        approval = self._approval(tx, rows, job.soar.approval)
        entered = Entered(self._considered(tx, job, rows, ahead, approval), ahead.left_out, approval)
        entered.waiting = self._waits(job, [(row, approval) for row in entered.rows])
        if entered.waiting is None:
            context = self._context(job, approval)
            for index, row in enumerate(entered.rows):
                if row.state is State.READY and row.id in ahead.looks:
                    begun = intend(tx, self.parts, row, context, standing)
                    entered.rows[index], entered.held = begun.action, begun.wait
                    entered.calling = row.id if begun.action.state is State.CALLING else ""
                    break
        return entered

    def _actions(self, entered: Entered | None, job: Job) -> Done:
        if entered is None:
            ahead = self.ahead(job)
            entered = self.parts.store.write(partial(self._enter, job=job, ahead=ahead))
            entered.intended = boot_seconds()
        if entered.waiting is not None:
            return _as_it_is(entered.waiting)
        return self._carried_out(job, entered)

    def _enter(self, tx: Tx, job: Job, ahead: Ahead) -> Entered:
        return self.enter(tx, job, ahead, work.check_fence(tx, job.work))

    def _carried_out(self, job: Job, entered: Entered) -> Done:
        """Call after call; the outcome of the last one is left for the commit that ends the step."""
        context = self._context(job, entered.approval)
        rows, answer = list(entered.rows), None
        held = entered.held
        for index, row in enumerate(rows):
            if answer is not None:
                rows[index - 1] = self._keep(job, answer)
                answer = None
            if row.state is State.READY and (held or not self._may_go(row, rows)):
                continue
            fresh = entered.intended if row.id == entered.calling else None
            found = self.calls.carry_out(row, context, intended=fresh)
            answer = found if isinstance(found, Answer) else None
            held = found.seconds if isinstance(found, Held) else held
            rows[index] = found if isinstance(found, ActionRow) else found.action
        return self._result(job, rows, answer, replace(entered, held=held))

    def _may_go(self, row: ActionRow, rows: Sequence[ActionRow]) -> bool:
        """Canaries first: the others go once these are verified."""
        return not self.parts.policy.canary or row.id in limits.wave(rows, self.parts.policy).go

    def _keep(self, job: Job, answer: Answer) -> ActionRow:
        def write(tx: Tx) -> ActionRow:
            work.check_fence(tx, job.work)
            return answer.write(tx)

        return self.parts.store.write(write)

    def _result(self, job: Job, rows: list[ActionRow], answer: Answer | None, entered: Entered) -> Done:
        at = next((index for index, row in enumerate(rows) if answer and row.id == answer.action.id), -1)

        def write(tx: Tx) -> Ended | Parked:
            if answer is not None:
                rows[at] = answer.write(tx)
            rows[:] = self._spared(tx, rows)
            return self._standing(job, rows, entered) or _ended(rows, entered.left_out)

        expected = rows
        if answer is not None and answer.applied is not None:
            expected = [*rows]
            expected[at] = replace(rows[at], state=State.DONE, outputs=answer.applied.outputs)
        return Done(write, self._standing(job, expected, entered) or _ended(expected, entered.left_out))

    def _spared(self, tx: Tx, rows: Sequence[ActionRow]) -> list[ActionRow]:
        """Where a canary failed, what was not sent yet never is."""
        if not self.parts.policy.canary:
            return list(rows)
        wave = limits.wave(rows, self.parts.policy)
        return [
            actions.move(tx, row, State.CANCELLED, summary=wave.why) if row.id in wave.stopped else row for row in rows
        ]

    def _settle(self, job: Job) -> Done:
        """Nobody waits for this step any more; what it sent must come to its outcome all the same."""
        rows = self._settled(job)
        if any(row.state in UNSETTLED - {State.IN_DOUBT} for row in rows):
            return _as_it_is(Parked("called off; its last call is not settled yet", seconds=POLL_SECONDS))
        return _as_it_is(Ended("failed", reason="called off"))

    def settle_paused(self, job: Job) -> Done:
        """The run is paused: what was sent comes to its outcome, nothing new is begun."""
        rows = self._settled(job)
        if any(row.state in UNSETTLED - {State.IN_DOUBT} for row in rows):
            return _as_it_is(Parked("paused; its last call is not settled yet", seconds=POLL_SECONDS))
        return _as_it_is(PAUSED)

    def _settled(self, job: Job) -> list[ActionRow]:
        with self.parts.store.read() as conn:
            rows = actions.of_step(conn, f"run:{job.run.id}", job.work.occurrence, job.work.attempt)
        context = self._context(job, None)
        return [self.calls.finish(row, context) if row.state in UNSETTLED else row for row in rows]

    def _approval(self, tx: Tx, rows: Sequence[ActionRow], named: Approval | None) -> Approval | None:
        """What the playbook names, or the standard one where the engine or the release gate insists."""
        wanted = approving.wanted(rows, named)
        if wanted is not None or not any(row.undo_of for row in rows):
            return wanted
        insists = any(row.undo_of and releasing.wants_second_person(tx.conn, row) for row in rows)
        return approving.STANDARD if insists else None

    def _ahead(self, job: Job, occurrence: str, soar: Soar, attempt: int, *, new: bool = False) -> Ahead:
        with self.parts.store.read() as conn:
            rows = [] if new else actions.of_step(conn, f"run:{job.run.id}", occurrence, attempt)
            left_out: Mapping[str, str] = {}
            if not rows:
                variables = variables_at(job.playbook, job.state, occurrence)
                plan = planning.plan_step(self.parts, conn, job.run.incident_id, job.run.id, soar, variables)
                caller = str(ENGINE) if job.run.automatic else f"{job.run.started_kind}:{job.run.started_by}"
                left_out = dict(plan.left_out)
                rows = planning.rows_of(
                    plan, run=job.run, step_path=occurrence, step=soar.slug, generation=attempt, caller=caller,
                    now=self.parts.clock.now(),
                )  # fmt: skip
        looks = {row.id: look(self.parts, row) for row in rows if row.state is State.PLANNED}
        return Ahead(occurrence, attempt, tuple(rows), looks, left_out, new)

    def _considered(
        self, tx: Tx, job: Job, rows: Sequence[ActionRow], ahead: Ahead, approval: Approval | None
    ) -> list[ActionRow]:
        """Bring every planned action that was looked at before the guards."""
        context = self._context(job, approval)
        return [
            consider(tx, self.parts, row, context, ahead.looks[row.id])
            if row.state is State.PLANNED and row.id in ahead.looks
            else row
            for row in rows
        ]

    def _waits(self, job: Job, rows: Sequence[tuple[ActionRow, Approval | None]]) -> Parked | None:
        """What the step waits for before its first call.

        Persons are asked only once nothing waits for evidence, so that they are asked about all of it.
        """
        if any(row.state is State.PLANNED for row, _ in rows):
            return self._not_yet(job, [row for row, _ in rows])
        waiting = [(row, approval) for row, approval in rows if row.state is State.WAITING]
        return self._ask(job, waiting) if waiting else None

    def _standing(self, job: Job, rows: Sequence[ActionRow], entered: Entered) -> Parked | None:
        """What still keeps the step open after its calls."""
        waiting = [row for row in rows if row.state is State.WAITING]
        if waiting:
            return self._ask(job, [(row, entered.approval) for row in waiting])
        if any(row.state is State.IN_DOUBT for row in rows):
            return Parked("in doubt: a person must say what happened")
        if any(row.state in (State.ACCEPTED, State.CONFIRMED) for row in rows):
            return Parked("accepted by the target, not in effect yet", seconds=POLL_SECONDS)
        if any(row.state in UNSENT for row in rows):
            return Parked("not ready yet", seconds=entered.held or POLL_SECONDS)
        return None

    def _ask(self, job: Job, waiting: Sequence[tuple[ActionRow, Approval | None]]) -> Parked:
        """Ask for what is not asked yet: one approval for all actions that want the same one."""
        wishes: dict[Approval, list[ActionRow]] = {}
        for row, approval in waiting:
            if row.approval_id is None:
                wishes.setdefault(approval or approving.STANDARD, []).append(row)

        def ask(tx: Tx) -> None:
            for approval, rows in wishes.items():
                approving.ask(tx, rows, approval, job.work, job.run)

        return Parked("waits for an approval", ask if wishes else None)

    def _not_yet(self, job: Job, rows: Sequence[ActionRow]) -> Parked:
        """Something else goes first: evidence (until it is there, or its time box is spent), or another call."""
        evidence = any(
            finding["guard"] == "evidence" and finding["verdict"] == "wait" for row in rows for finding in row.guards
        )
        if not evidence:
            return Parked("another call of the same goes first", seconds=POLL_SECONDS)
        notes = {"box_started": job.work.notes.get("box_started") or stamp(self.parts.clock.now())}
        return Parked("evidence must be collected first", seconds=POLL_SECONDS, notes=notes)

    def _context(self, job: Job, approval: Approval | None) -> Context:
        urgency = job.playbook.urgency
        box_started = job.work.notes.get("box_started")
        return Context(
            work=job.work, run=job.run, urgency=urgency,
            ground=f"urgency {urgency} of {job.playbook.name}" if urgency else "",
            asked=approving.asked_of(approval) if approval else None,
            owner=job.run.started_by if not job.run.automatic else "on-call",
            waiting_since=moment(box_started) if box_started else None,
        )  # fmt: skip

    # --- a group that acts together ----------------------------------------------------------

    def _group(self, job: Job) -> Done:
        """Every guard and approval of the group's actions passes before the first call of any."""
        parts: list[tuple[Soar, Ahead]] = []
        for member in conductor.members(job.playbook, job.state, job.work.occurrence):
            soar = job.playbook.workflow[member.step_id].soar or Soar()
            parts.append((soar, self._ahead(job, member.occurrence, soar, member.attempt)))
        waiting = self.parts.store.write(partial(self._prepared, job=job, parts=parts))
        return _as_it_is(waiting)

    def _prepared(self, tx: Tx, job: Job, parts: Sequence[tuple[Soar, Ahead]]) -> Ended | Parked:
        standing = work.check_fence(tx, job.work)
        looked: list[tuple[ActionRow, Approval | None]] = []
        tolerant: set[str] = set()
        for soar, ahead in parts:
            rows = [actions.insert(tx, row) if row.state is State.PLANNED else row for row in ahead.rows]
            approval = self._approval(tx, rows, soar.approval or job.soar.approval)
            looked.extend((row, approval) for row in self._considered(tx, job, rows, ahead, approval))
            tolerant.update(row.id for row in rows if soar.partial_ok)
        waiting = PAUSED if standing.paused else self._waits(job, looked)
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
            return _as_it_is(Ended("ok", outputs=asked[0].answer))
        if asked:
            return _as_it_is(Parked("waits for a person"))
        ask = partial(
            tasks.open_task, incident_id=job.run.incident_id, kind=kind, text=text, asks=asks, run_id=job.run.id,
            work_id=job.work.id, within=job.soar.within,
        )  # fmt: skip
        return _as_it_is(Parked("waits for a person", ask))

    # --- watching ----------------------------------------------------------------------------

    def _watch(self, job: Job) -> Done:
        """Look again and again for as long as the step says; a hit ends it, and contains the host again."""
        total = float(bind(job.soar.for_, variables_at(job.playbook, job.state, job.work.occurrence)))
        looks = max(1, min(WATCH_LOOKS, int(total)))
        nth = int(job.work.notes.get("look", 0)) + 1
        ahead = self.ahead(job, f"{job.work.occurrence}@{nth}")
        entered = self.parts.store.write(partial(self._enter, job=job, ahead=ahead))
        context, intended = self._context(job, None), boot_seconds()
        rows = [
            self.calls.finish(row, context, intended=intended if row.id == entered.calling else None)
            for row in entered.rows
        ]
        hits = [hit for row in rows for hit in row.outputs.get("hits", [])]
        if hits:
            again = [row.target.id for row in rows if row.outputs.get("hits")]
            said = f"seen again: {', '.join(map(str, hits))}"
            return _as_it_is(Ended("failed", outputs={"hits": hits, "again": again}, reason=said))
        blind = int(job.work.notes.get("blind", 0)) + any(row.state not in GOOD for row in rows)
        if nth <= looks:
            notes = {"look": nth, "blind": blind}
            return _as_it_is(Parked(f"watching, look {nth}", seconds=total / looks, notes=notes))
        if blind:
            said = f"{blind} of {nth} looks saw nothing, because they could not look"
            return _as_it_is(Ended("failed", reason=said))
        return _as_it_is(_ended(rows, {}))


def _as_it_is(done: Ended | Parked) -> Done:
    """What is known already and needs nothing written first."""
    return Done(lambda _: done, done)


def parked(tx: Tx, row: WorkRow, how: Parked) -> None:
    """Write down that a step waits, and what will wake it."""
    work.park(tx, row, how.notes)
    if how.within_tx is not None:
        how.within_tx(tx)
    if how.seconds is not None:
        work.arm(tx, tx.now + timedelta(seconds=how.seconds), "wake", row.id)


def _ended(rows: Sequence[ActionRow], left_out: Mapping[str, str]) -> Ended:
    """A step's result from its actions' ends: ok, partial or failed, and their outputs as one."""
    good = [row for row in rows if row.state in GOOD]
    outputs = _merge([row.outputs for row in rows])
    if left_out:
        outputs["left_out"] = [{"observable": name, "why": why} for name, why in left_out.items()]
    bad = [row for row in rows if row.state not in GOOD]
    reason = "; ".join(f"{row.verb} on {row.target_name}: {row.state.value} ({row.summary})" for row in bad)
    if not bad:
        return Ended("ok", outputs, reason)
    return Ended("partial" if good else "failed", outputs, reason)


def _merge(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Outputs of several targets as one: lists joined, numbers added, a bool true if true for all."""
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = merged.get(name)
            if before is None:
                merged[name] = value
            elif isinstance(value, bool):
                merged[name] = before and value
            elif isinstance(value, list) and isinstance(before, list):
                merged[name] = [*before, *value]
            elif isinstance(value, int | float) and isinstance(before, int | float):
                merged[name] = before + value
            else:
                merged[name] = value
    return merged
