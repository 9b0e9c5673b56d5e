"""Opening a step: look outside of any transaction; then plan, guards and the first intent inside of one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from soar.clock import boot_seconds
from soar.engine import approving, casefile, commanding, limits, planning, releasing
from soar.engine.binding import variables_at
from soar.engine.job import Job, Parked
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.engine.prepare import Look, consider, intend, look
from soar.engine.run_state import RunState
from soar.errors import Conflict, Invalid, NotFound
from soar.events import moment, stamp
from soar.model import ENGINE, JsonObject, Target
from soar.playbook.commands import IN_ORDER
from soar.playbook.model import Approval, Step
from soar.protocol import State
from soar.store import actions
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.work import FRESH, Standing

QUICK = 0.05
"""Seconds within which a look must be over for the outcome of the step before to wait for it."""
STILL_SO = frozenset({State.ACTIVE, State.OVERDUE, State.DONE, State.SATISFIED})


@dataclass(frozen=True, slots=True)
class Ahead:
    """Actions that are not sent yet, stored or not, and what was seen at their targets just now."""

    occurrence: str
    attempt: int
    rows: tuple[ActionRow, ...]
    looks: Mapping[str, Look]
    left_out: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[ActionRow, ...] = ()
    """What an earlier attempt of the step had brought about: it is not done again."""
    new: bool = False
    """Planned in the transaction that made the step's work, so that nothing can be stored yet."""
    known: casefile.Around | None = None
    """What was read around the target of its one action, in the transaction that enters the step."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen at the target of an action that is likely to follow."""

    row: ActionRow
    look: Look
    state: RunState
    """What it was planned from."""


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
    """Boot time right before the guards were asked for it."""
    held: float = 0.0
    """Seconds until the connected system takes the first call."""


class Entering:
    """Brings the actions of a step before the guards."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._took: dict[str, float] = {}
        """Seconds that the last look through each connected system took."""

    def ahead(self, job: Job, occurrence: str = "", step_id: str = "", attempt: int = 0) -> Ahead:
        """The actions of a step, as stored or as planned now, and a look at each that is not sent.

        Touches nothing. Without more it is the job's own step. Raises Invalid and NotFound for a step
        that cannot be planned.
        """
        occurrence, attempt = occurrence or job.work.occurrence, attempt or job.work.attempt
        step = job.playbook.workflow[step_id or job.work.step_id]
        with self.parts.store.read() as conn:
            rows = actions.of_step(conn, f"run:{job.run.id}", occurrence, attempt)
            earlier = _earlier(conn, job, occurrence, attempt)
            left_out: Mapping[str, str] = {}
            if not rows:
                rows, left_out = self._plan(conn, job, occurrence, step, attempt, earlier)
        looks = {row.id: self._look(row) for row in rows if row.state is State.PLANNED}
        return Ahead(occurrence, attempt, tuple(rows), looks, left_out, tuple(earlier))

    def glance(self, job: Job) -> Glance | None:
        """Plan a step that is likely to follow, and look at its target, where that costs next to nothing.

        None for a step of several actions, for one whose actions stand in the database, for one that cannot
        be planned, and where the connected system was slow the last time: what is known of the step before
        must not wait.
        """
        if planning.reads(job.soar) or not job.soar.verb:
            return None
        try:
            rows = self._unread(job)
        except (Invalid, NotFound):  # said where the step is performed
            return None
        if len(rows) != 1 or self._took.get(rows[0].adapter, QUICK) >= QUICK:
            return None
        return Glance(rows[0], self._look(rows[0]), job.state)

    def enter_after(self, tx: Tx, job: Job, glanced: Glance) -> Entered | None:
        """Enter a step whose work was just made in this transaction.

        What was planned holds if the run stands where it was planned from; what that does not say (a name,
        an entity, what is stopped) is read here. Else it is planned here. None where the look was at something
        else, and where nothing can be planned: the step is then entered by itself.
        """
        row = glanced.row if glanced.state is job.state else self._other(job, glanced)
        if row is None or row.step_path != job.work.occurrence:
            return None
        known = casefile.around(tx.peek, row.incident_id, row.target)
        row = row.but(target_name=known.name)
        # In the main branch nothing is stored before its work is; a group stores its members' actions first.
        new = not job.work.branch
        ahead = Ahead(job.work.occurrence, job.work.attempt, (row,), {row.id: glanced.look}, new=new, known=known)
        return self.enter(tx, job, ahead, FRESH)

    def _other(self, job: Job, glanced: Glance) -> ActionRow | None:
        """The action of a step whose run has moved on since the look, if the look is good for it."""
        try:
            rows = [] if planning.reads(job.soar) or not job.soar.verb else self._unread(job)
        except (Invalid, NotFound):
            return None
        return rows[0] if [_same(row) for row in rows] == [_same(glanced.row)] else None

    def _look(self, row: ActionRow) -> Look:
        began = time.monotonic()
        found = look(self.parts, row)
        self._took[row.adapter] = time.monotonic() - began
        return found

    def _plan(
        self, conn: sa.Connection, job: Job, occurrence: str, step: Step, attempt: int, earlier: Sequence[ActionRow]
    ) -> tuple[list[ActionRow], Mapping[str, str]]:
        variables = variables_at(job.playbook, job.state, occurrence)
        plan = commanding.plan_step(
            self.parts, conn, job.run.incident_id, job.run.id, job.playbook, step, variables
        )  # fmt: skip
        done = [_what(row) for row in earlier]
        wanted = [each for each in plan.actions if _what(each) not in done]
        return self._rows(job, occurrence, step, attempt, wanted), dict(plan.left_out)

    def _unread(self, job: Job) -> list[ActionRow]:
        """The actions of a step that is planned without reading anything."""
        variables = variables_at(job.playbook, job.state, job.work.occurrence)
        wanted = planning.plan_unread(self.parts, job.run.incident_id, job.soar, variables)
        return self._rows(job, job.work.occurrence, job.playbook.workflow[job.work.step_id], job.work.attempt, wanted)

    def _rows(
        self, job: Job, occurrence: str, step: Step, attempt: int, wanted: Sequence[planning.Planned]
    ) -> list[ActionRow]:
        return planning.rows_of(
            wanted, run=job.run, step_path=occurrence, step=step.soar.slug if step.soar else step.label,
            generation=attempt, caller=_caller(job), now=self.parts.clock.now(),
        )  # fmt: skip

    def enter(self, tx: Tx, job: Job, ahead: Ahead, standing: Standing) -> Entered:
        """Store what was planned, ask the guards, and where nothing waits store the first intent."""
        began = boot_seconds()
        rows, approval = self.considered(tx, job, ahead, job.approval)
        entered = Entered([*ahead.earlier, *rows], ahead.left_out, approval)
        entered.intended = began
        entered.waiting = self.waits(job, [(row, approval) for row in rows])
        if entered.waiting is not None:
            return entered
        for index, row in enumerate(entered.rows):
            if row.state is State.READY and row.id in ahead.looks and self.may_go(row, entered.rows):
                begun = intend(tx, self.parts, row, self.context(job, approval), standing)
                entered.rows[index], entered.held = begun.action, begun.wait
                entered.calling = row.id if begun.action.state is State.CALLING else ""
                break
        return entered

    def may_go(self, row: ActionRow, rows: Sequence[ActionRow]) -> bool:
        """Canaries first: the others go once these are verified."""
        return not limits.waves(rows, self.parts.policy) or row.id in limits.wave(rows, self.parts.policy).go

    def considered(
        self, tx: Tx, job: Job, ahead: Ahead, named: Approval | None
    ) -> tuple[list[ActionRow], Approval | None]:
        """The actions as they stand now, stored; every planned one that was looked at is before the guards."""
        if ahead.earlier and _earlier(tx.peek, job, ahead.occurrence, ahead.attempt) != list(ahead.earlier):
            raise Conflict("what an earlier attempt had brought about has changed meanwhile")
        stored = [] if ahead.new else actions.of_step(tx.peek, f"run:{job.run.id}", ahead.occurrence, ahead.attempt)
        rows = stored or [actions.insert(tx, row, new=True) for row in ahead.rows]
        approval = self._approval(tx, rows, named)
        context = self.context(job, approval)
        return [
            consider(tx, self.parts, row, context, ahead.looks[row.id], ahead.known)
            if row.state is State.PLANNED and row.id in ahead.looks
            else row
            for row in rows
        ], approval

    def _approval(self, tx: Tx, rows: Sequence[ActionRow], named: Approval | None) -> Approval | None:
        """What the playbook names, or the standard one where the engine or the release gate insists."""
        wanted = approving.wanted(rows, named)
        if wanted is not None or not any(row.undo_of for row in rows):
            return wanted
        insists = any(row.undo_of and releasing.wants_second_person(tx.conn, row) for row in rows)
        return approving.STANDARD if insists else None

    def waits(self, job: Job, rows: Sequence[tuple[ActionRow, Approval | None]]) -> Parked | None:
        """What the step waits for before its first call.

        Persons are asked only once nothing waits for evidence, so that they are asked about all of it.
        """
        if any(row.state is State.PLANNED for row, _ in rows):
            return self._not_yet(job, [row for row, _ in rows])
        waiting = [(row, approval) for row, approval in rows if row.state is State.WAITING]
        return self.ask(job, waiting) if waiting else None

    def ask(self, job: Job, waiting: Sequence[tuple[ActionRow, Approval | None]]) -> Parked:
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
            return Parked("another call of the same goes first", seconds=self.parts.poll_seconds)
        notes = {"box_started": job.work.notes.get("box_started") or stamp(self.parts.clock.now())}
        box = max(self.parts.policy.evidence_box, 0.05)
        return Parked("evidence must be collected first", seconds=min(self.parts.poll_seconds, box), notes=notes)

    def context(self, job: Job, approval: Approval | None) -> Context:
        urgency = job.playbook.urgency
        box_started = job.work.notes.get("box_started")
        return Context(
            work=job.work, run=job.run, urgency=urgency,
            ground=f"urgency {urgency} of {job.playbook.name}" if urgency else "",
            asked=approving.asked_of(approval) if approval else None,
            owner=job.run.started_by if not job.run.automatic else "on-call",
            waiting_since=moment(box_started) if box_started else None,
        )  # fmt: skip


def _earlier(conn: sa.Connection, job: Job, occurrence: str, attempt: int) -> list[ActionRow]:
    """What earlier attempts of a step have brought about and what still is so."""
    rows = [row for turn in range(1, attempt) for row in actions.of_step(conn, f"run:{job.run.id}", occurrence, turn)]
    return [row for row in rows if row.state in STILL_SO]


def _what(each: ActionRow | planning.Planned) -> tuple[str, Target, JsonObject]:
    """What an action brings about: of a command all that it says, of a verb its target."""
    return each.verb, each.target, each.params if each.verb in IN_ORDER else {}


def _same(row: ActionRow) -> tuple[str, str, Target, JsonObject, str | None]:
    """What makes one look good for another action."""
    return row.adapter, row.verb, row.target, row.params, row.undo_of


def _caller(job: Job) -> str:
    return str(ENGINE) if job.run.automatic else f"{job.run.started_kind}:{job.run.started_by}"
