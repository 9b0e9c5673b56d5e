"""Performs one step of a run: its actions, a question to a person, an undo, a group's preparation.

A step ends with a result, or it is parked: on an approval, a person, a poll, evidence. Parked work
costs nobody anything; what wakes it starts this code again from the rows, which say how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from soar.engine import approving, conductor, planning, releasing
from soar.engine.binding import bind, variables_at
from soar.engine.calls import Calls
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.engine.prepare import prepare
from soar.engine.run_state import RunState
from soar.engine.signals import Result
from soar.errors import Invalid, NotFound
from soar.events import moment, stamp
from soar.model import ENGINE
from soar.playbook.model import Approval, Playbook, Soar
from soar.protocol import GOOD, UNSENT, UNSETTLED, State
from soar.store import actions, tasks, work
from soar.store.rows import ActionRow, WorkRow
from soar.store.session import Tx

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


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An action that the guards let through or stopped; `fresh` when it was inspected in this pass."""

    row: ActionRow
    approval: Approval | None
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One claimed piece of work with everything it belongs to, as read when it was claimed."""

    work: WorkRow
    run: Any
    playbook: Playbook
    state: RunState

    @property
    def soar(self) -> Soar:
        return self.playbook.workflow[self.work.step_id].soar or Soar()


class Steps:
    """Performs what the conductor asks for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.calls = Calls(parts)

    def perform(self, job: Job) -> Ended | Parked:
        """Do as much of the step as can be done now. Bad bindings end it as failed, with the reason."""
        if job.work.notes.get(work.ABANDONED):
            return self._settle(job)
        kinds: dict[str, Callable[[Job], Ended | Parked]] = {
            "action": self._watch if job.soar.verb == "watch" and job.soar.for_ else self._actions,
            "undo": self._actions,
            "prepare": self._group,
            "manual": self._manual,
            "decide": self._decide,
        }
        try:
            return kinds[job.work.kind](job)
        except (Invalid, NotFound) as error:
            return Ended("failed", reason=str(error))

    # --- actions ---------------------------------------------------------------------------

    def _actions(self, job: Job) -> Ended | Parked:
        rows, left_out = self._planned(job, job.work.occurrence, job.soar, job.work.attempt)
        approval = self._approval(rows, job.soar.approval)
        looked, waiting = self._prepare_all(job, [(row, approval) for row in rows])
        if waiting is not None:
            return waiting
        rows = self._carry_out(job, looked)
        return self._standing(job, rows, approval) or _ended(rows, left_out)

    def _settle(self, job: Job) -> Ended | Parked:
        """Nobody waits for this step any more; what it sent must come to its outcome all the same."""
        with self.parts.store.read() as conn:
            rows = actions.of_step(conn, f"run:{job.run.id}", job.work.occurrence, job.work.attempt)
        context = self._context(job, None)
        settled = [self.calls.carry_out(row, context) if row.state in UNSETTLED else row for row in rows]
        if any(row.state in UNSETTLED - {State.IN_DOUBT} for row in settled):
            return Parked("called off; its last call is not settled yet", seconds=POLL_SECONDS)
        return Ended("failed", reason="called off")

    def _approval(self, rows: Sequence[ActionRow], named: Approval | None) -> Approval | None:
        """What the playbook names, or the standard one where the engine or the release gate insists."""
        wanted = approving.wanted(rows, named)
        if wanted is not None or not any(row.undo_of for row in rows):
            return wanted
        with self.parts.store.read() as conn:
            insists = any(row.undo_of and releasing.wants_second_person(conn, row) for row in rows)
        return approving.STANDARD if insists else None

    def _carry_out(self, job: Job, rows: Sequence[_Prepared]) -> list[ActionRow]:
        return [self.calls.carry_out(each.row, self._context(job, each.approval), fresh=each.fresh) for each in rows]

    def _standing(self, job: Job, rows: Sequence[ActionRow], approval: Approval | None) -> Parked | None:
        """What still keeps the step open after its calls."""
        waiting = [row for row in rows if row.state is State.WAITING]
        if waiting:
            return self._ask(job, [(row, approval) for row in waiting])
        if any(row.state is State.IN_DOUBT for row in rows):
            return Parked("in doubt: a person must say what happened")
        if any(row.state in (State.ACCEPTED, State.CONFIRMED) for row in rows):
            return Parked("accepted by the target, not in effect yet", seconds=POLL_SECONDS)
        if any(row.state in UNSENT for row in rows):
            return Parked("not ready yet", seconds=POLL_SECONDS)
        return None

    def _planned(
        self, job: Job, occurrence: str, soar: Soar, attempt: int
    ) -> tuple[list[ActionRow], Mapping[str, str]]:
        """The step's actions: as stored, or resolved now and stored."""
        with self.parts.store.read() as conn:
            rows = actions.of_step(conn, f"run:{job.run.id}", occurrence, attempt)
            if rows:
                return rows, {}
            variables = variables_at(job.playbook, job.state, occurrence)
            plan = planning.plan_step(self.parts, conn, job.run.incident_id, job.run.id, soar, variables)
        caller = str(ENGINE) if job.run.automatic else f"{job.run.started_kind}:{job.run.started_by}"

        def store(tx: Tx) -> list[ActionRow]:
            work.check_fence(tx, job.work)
            return planning.insert(
                tx, plan, run=job.run, step_path=occurrence, step=soar.slug, generation=attempt, caller=caller
            )

        return self.parts.store.write(store), dict(plan.left_out)

    def _prepare_all(
        self, job: Job, rows: Sequence[tuple[ActionRow, Approval | None]]
    ) -> tuple[list[_Prepared], Parked | None]:
        """Bring every planned action before the guards; Parked while one must wait.

        Persons are asked only once nothing waits for evidence, so that they are asked about all of it.
        """
        looked = [
            _Prepared(prepare(self.parts, row, self._context(job, approval)), approval, fresh=True)
            if row.state is State.PLANNED
            else _Prepared(row, approval, fresh=False)
            for row, approval in rows
        ]
        if any(each.row.state is State.PLANNED for each in looked):
            return looked, self._not_yet(job, [each.row for each in looked])
        waiting = [(each.row, each.approval) for each in looked if each.row.state is State.WAITING]
        return looked, self._ask(job, waiting) if waiting else None

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
            work=job.work, urgency=urgency, ground=f"urgency {urgency} of {job.playbook.name}" if urgency else "",
            asked=approving.asked_of(approval) if approval else None,
            owner=job.run.started_by if not job.run.automatic else "on-call",
            waiting_since=moment(box_started) if box_started else None,
        )  # fmt: skip

    # --- a group that acts together ----------------------------------------------------------

    def _group(self, job: Job) -> Ended | Parked:
        """Every guard and approval of the group's actions passes before the first call of any."""
        rows: list[tuple[ActionRow, Approval | None]] = []
        tolerant: set[str] = set()
        for member in conductor.members(job.playbook, job.state, job.work.occurrence):
            soar = job.playbook.workflow[member.step_id].soar or Soar()
            planned, _ = self._planned(job, member.occurrence, soar, member.attempt)
            approval = self._approval(planned, soar.approval or job.soar.approval)
            rows.extend((row, approval) for row in planned)
            tolerant.update(row.id for row in planned if soar.partial_ok)
        looked, waiting = self._prepare_all(job, rows)
        if waiting is not None:
            return waiting
        final = [each.row for each in looked]
        stopped = [row for row in final if row.state not in GOOD | {State.READY} and row.id not in tolerant]
        if not stopped:
            return Ended("ok")
        said = "; ".join(f"{row.verb} on {row.target_name}: {row.state.value}, {row.summary}" for row in stopped)
        self.parts.store.write(lambda tx: _call_off(tx, job.work, final))
        return Ended("failed", reason=f"together means all or none; {said}")

    # --- persons -----------------------------------------------------------------------------

    def _manual(self, job: Job) -> Ended | Parked:
        return self._question(job, "manual", job.soar.manual or "", dict(job.soar.outputs or {}))

    def _decide(self, job: Job) -> Ended | Parked:
        step = job.playbook.workflow[job.work.step_id]
        text = f"Which way? {getattr(step, 'condition', None) or getattr(step, 'switch', '')}"
        return self._question(job, "decide", text, {"branch": "any"})

    def _question(self, job: Job, kind: str, text: str, asks: Mapping[str, str]) -> Ended | Parked:
        with self.parts.store.read() as conn:
            asked = tasks.find(conn, work_id=job.work.id)
        if asked and asked[0].status == "done":
            return Ended("ok", outputs=asked[0].answer)
        if asked:
            return Parked("waits for a person")
        ask = partial(
            tasks.open_task, incident_id=job.run.incident_id, kind=kind, text=text, asks=asks, run_id=job.run.id,
            work_id=job.work.id, within=job.soar.within,
        )  # fmt: skip
        return Parked("waits for a person", ask)

    # --- watching ----------------------------------------------------------------------------

    def _watch(self, job: Job) -> Ended | Parked:
        """Look again and again for as long as the step says; a hit ends it, and contains the host again."""
        total = float(bind(job.soar.for_, variables_at(job.playbook, job.state, job.work.occurrence)))
        looks = max(1, min(WATCH_LOOKS, int(total)))
        look = int(job.work.notes.get("look", 0)) + 1
        rows, _ = self._planned(job, f"{job.work.occurrence}@{look}", job.soar, job.work.attempt)
        looked, _ = self._prepare_all(job, [(row, None) for row in rows])
        rows = self._carry_out(job, looked)
        hits = [hit for row in rows for hit in row.outputs.get("hits", [])]
        if hits:
            again = [row.target.id for row in rows if row.outputs.get("hits")]
            said = f"seen again: {', '.join(map(str, hits))}"
            return Ended("failed", outputs={"hits": hits, "again": again}, reason=said)
        blind = int(job.work.notes.get("blind", 0)) + any(row.state not in GOOD for row in rows)
        if look <= looks:
            return Parked(f"watching, look {look}", seconds=total / looks, notes={"look": look, "blind": blind})
        if blind:
            return Ended("failed", reason=f"{blind} of {look} looks saw nothing, because they could not look")
        return _ended(rows, {})


def parked(tx: Tx, row: WorkRow, how: Parked) -> None:
    """Write down that a step waits, and what will wake it."""
    work.park(tx, row, how.notes)
    if how.within_tx is not None:
        how.within_tx(tx)
    if how.seconds is not None:
        work.arm(tx, tx.now + timedelta(seconds=how.seconds), "wake", row.id)


def _call_off(tx: Tx, held: WorkRow, rows: Sequence[ActionRow]) -> None:
    work.check_fence(tx, held)
    for row in rows:
        now = actions.get(tx.conn, row.id)
        if now.state in UNSENT:
            actions.move(tx, now, State.CANCELLED, summary="another action of the group may not run")


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
