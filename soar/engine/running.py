"""A run's way, inside commits: begin, take what happened, save the state, turn what is wanted into rows.

A run's row is read and written only inside a commit; there is no lease on a run. Whoever does the
work, or fires a timer, or cancels, feeds the conductor here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from soar.engine import approving, casefile, conductor, effects, routes
from soar.engine.run_state import RunState
from soar.engine.signals import (
    Abandon,
    Arm,
    Decision,
    Finish,
    Perform,
    Result,
    RunEvent,
    StepEnded,
    TimerFired,
)
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE, Actor, IncidentStatus, Target
from soar.playbook.model import Playbook, Soar, one_step
from soar.protocol import STANDING, UNSENT, State
from soar.store import actions, incidents, runs, tasks, work
from soar.store.rows import WorkRow
from soar.store.session import Tx
from soar.store.statement import Statement, literally
from soar.store.tables import actions as action_table
from soar.store.tables import runs as run_table
from soar.store.work import Owner, Standing
from soar.verbs import VERBS, OnExpiry

PRIORITY = {6: 100, 5: 90, 4: 70, 3: 50, 2: 30, 1: 10, 0: 10}
"""Work priority by the incident's OCSF severity id."""
LIFT_AGAIN = timedelta(seconds=30)
"""How long after a lift that failed it is tried again."""


class StepResult(Protocol):
    """How a step ended: ok, partial or failed, with its outputs."""

    @property
    def result(self) -> Result: ...

    @property
    def outputs(self) -> Mapping[str, Any]: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A run as it was read, or as its worker itself wrote it: right as long as its version stands."""

    row: Any
    playbook: Playbook
    state: RunState
    version: int

    @classmethod
    def of(cls, conn: sa.Connection, row: Any) -> Known:
        """From a run's row."""
        return cls(row, runs.playbook(conn, row.playbook_digest), RunState.from_plain(row.state), row.version)


class Facts(Mapping[str, Any]):
    """What conditions may speak of, read when the first one does; without a place to read, nothing is known."""

    def __init__(self, conn: sa.Connection | None = None, incident_id: str = "") -> None:
        self._conn, self._incident_id = conn, incident_id
        self._known: Mapping[str, Any] | None = None

    @property
    def asked(self) -> bool:
        """A condition has read them."""
        return self._known is not None

    def _facts(self) -> Mapping[str, Any]:
        if self._known is None:
            self._known = incidents.facts(self._conn, self._incident_id) if self._conn is not None else {}
        return self._known

    def __getitem__(self, name: str) -> Any:
        return self._facts()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts())

    def __len__(self) -> int:
        return len(self._facts())


def start_run(
    tx: Tx,
    incident_id: str,
    playbook: Playbook,
    inputs: Mapping[str, Any],
    *,
    by: Actor,
    why: str,
    automatic: bool,
    called_by: str | None = None,
) -> str:
    """Begin a run in the caller's transaction; its first work is rung for after the commit.

    `called_by` is the work of the step that waits for its end.
    """
    run_id = new_id()
    incident = incidents.get(tx.conn, incident_id)
    runs.save_playbook(tx, playbook, current=False)
    tx.conn.execute(
        run_table.insert().values(
            id=run_id, incident_id=incident_id, playbook_digest=playbook.digest, playbook_slug=playbook.known_as,
            status="running", state={}, inputs=dict(inputs), why=why, started_by=by.id, started_kind=by.kind,
            automatic=automatic, called_by=called_by,
            priority=PRIORITY.get(incident.severity_id, 50), created_at=tx.now, started_at=tx.now, version=0,
        )
    )  # fmt: skip
    if incident.status == IncidentStatus.NEW.value and not automatic:
        incidents.set_status(tx, incident_id, IncidentStatus.IN_PROGRESS, by)
    incidents.event(
        tx, incident_id, Kind.RUN_STARTED, actor=by,
        data={"run": run_id, "playbook": playbook.known_as, "digest": playbook.digest, "automatic": automatic},
        values={"why": why},
    )  # fmt: skip
    known = Known(runs.get(tx.conn, run_id), playbook, RunState(), 0)
    decision = conductor.start(playbook, inputs, Facts(tx.conn, incident_id))
    runs.save_state(tx, run_id, decision.state.as_plain(), 0)
    _apply(tx, known, decision)
    return run_id


def fire(tx: Tx, run_id: str, occurrence: str, attempt: int, kind: Any) -> None:
    """A timer of a step came due."""
    feed(tx, runs.get(tx.conn, run_id, lock=True), TimerFired(occurrence=occurrence, attempt=attempt, kind=kind))


def outlived(tx: Tx, run_id: str, occurrence: str) -> None:
    """A step has gone on for longer than any may: its time is over."""
    run = runs.get(tx.conn, run_id, lock=True)
    known = Known.of(tx.conn, run)
    visit = known.state.steps[occurrence]
    life = visit.attempt if routes.performs(known.playbook.workflow[visit.step_id]) else visit.life
    feed(tx, run, TimerFired(occurrence=occurrence, attempt=life, kind="timeout"))


def step_ended(
    tx: Tx,
    row: WorkRow,
    done: StepResult,
    known: Known,
    standing: Standing,
    owner: Owner | None = None,
    guess: Decision | None = None,
) -> tuple[WorkRow, Known] | None:
    """The step's end, the run's new state and the next work, in one commit.

    An owner that may go on takes the first of the next work for itself: it is returned with the run
    as it is now. None where there is nothing, or where something else goes first. `guess`: what the
    conductor said to this end of this run before; it holds if the run has not moved on meanwhile.
    """
    work.done(tx, row)
    soar = known.playbook.workflow[row.step_id].soar
    incidents.event(
        tx, known.row.incident_id, Kind.STEP_ENDED,
        data={
            "run": known.row.id, "step": soar.slug if soar else row.step_id, "occurrence": row.occurrence,
            "attempt": row.attempt, "result": done.result,
        },
        values={"reason": done.reason} if done.reason else {},
    )  # fmt: skip
    known, decision = _decided(tx, known, ended(row, done), guess)
    free = owner is not None and not standing.paused and not standing.overtaken
    taken = _apply(tx, known, decision, owner if free else None)
    if soar is not None and soar.verb == "watch":
        for host in done.outputs.get("again", ()):
            _contain_again(tx, known.row, str(host))
    if taken is None:
        return None
    return taken, Known(known.row, known.playbook, decision.state, known.version + 1)


def ended(row: WorkRow, done: StepResult) -> StepEnded:
    """What the conductor is told of a step's end."""
    return StepEnded(
        occurrence=row.occurrence, attempt=row.attempt, result=done.result, outputs=dict(done.outputs),
        reason=done.reason,
    )  # fmt: skip


def feed(tx: Tx, run: Any, event: RunEvent) -> Decision:
    """Tell the conductor what happened to a run (its row, locked), and store what follows from it."""
    known, decision = _decided(tx, Known.of(tx.conn, run), event)
    _apply(tx, known, decision)
    return decision


def _decided(tx: Tx, known: Known, event: RunEvent, guess: Decision | None = None) -> tuple[Known, Decision]:
    """What the conductor says to this event of the run as it stands, saved; the run is locked to the commit."""
    facts = Facts(tx.peek, known.row.incident_id)
    decision = guess or conductor.feed(known.playbook, known.state, event, facts)
    while not runs.save_state(tx, known.row.id, decision.state.as_plain(), known.version):
        known = Known.of(tx.peek, runs.get(tx.peek, known.row.id, lock=True))
        decision = conductor.feed(known.playbook, known.state, event, facts)
    return known, decision


def _contain_again(tx: Tx, run: Any, host: str) -> None:
    """A watched host was hit again: cut it off at once, under the same guards as ever."""
    step = Soar(slug="contain-again", verb="isolate_host", with_={"host": host}, review=24 * 3600)
    book = one_step("contain-again", f"Contain {host} again", step, urgency="immediate")
    start_run(tx, run.incident_id, book, {}, by=ENGINE, why=f"{host} was hit again while watched", automatic=True)


def _apply(tx: Tx, known: Known, decision: Decision, owner: Owner | None = None) -> WorkRow | None:
    """Turn what the conductor wants into rows.

    With an owner, the first work is claimed by it and returned; the rest is rung for.
    """
    run = known.row
    taken: WorkRow | None = None
    for todo in decision.todo:
        match todo:
            case Perform():
                mine = owner if taken is None else None
                added = _perform(tx, known, todo, mine)
                taken = added if mine else taken
            case Arm():
                ref = f"{run.id}|{todo.occurrence}"
                work.arm(tx, tx.now + timedelta(seconds=todo.seconds), f"step_{todo.kind}", ref, todo.attempt)
            case Abandon():
                _call_off(tx, run, todo)
            case Finish():
                _finish(tx, run, todo)
    return taken


def _perform(tx: Tx, known: Known, todo: Perform, owner: Owner | None) -> WorkRow | None:
    run, step = known.row, known.playbook.workflow[todo.step_id]
    added = work.add(
        tx, run.id, occurrence=todo.occurrence, attempt=todo.attempt, kind=todo.kind, step_id=todo.step_id,
        branch=todo.branch, priority=run.priority, owner=owner,
    )  # fmt: skip
    incidents.event(
        tx, run.incident_id, Kind.STEP_STARTED,
        data={
            "run": run.id, "step": step.soar.slug if step.soar else todo.step_id, "occurrence": todo.occurrence,
            "attempt": todo.attempt, "kind": todo.kind,
        },
    )  # fmt: skip
    return added


def _call_off(tx: Tx, run: Any, todo: Abandon) -> None:
    """Nothing new is begun for this step, and nobody is asked about it; what was sent is settled by its worker."""
    for row in actions.find(tx.conn, run_id=run.id, states=UNSENT):
        if row.step_path == todo.occurrence or row.step_path.startswith((f"{todo.occurrence}/", f"{todo.occurrence}@")):
            actions.move(tx, row, State.CANCELLED, summary=todo.why)
    work_id = work.abandon(tx, run.id, todo.occurrence, todo.attempt)
    if work_id is not None:
        approving.withdraw(tx, work_id, todo.why)
        for task in tasks.find(tx.conn, work_id=work_id, status="open"):
            tasks.close(tx, task, ENGINE, {"withdrawn": todo.why})


def _finish(tx: Tx, run: Any, todo: Finish) -> None:
    tx.run(_END, {"run": run.id, "to_status": todo.status, "to_reason": todo.reason, "at": tx.now})
    _lift_again(tx, run, todo.status)
    if run.called_by:
        work.wake(tx, run.called_by)
    incidents.event(
        tx, run.incident_id, Kind.RUN_ENDED, actor=ENGINE, data={"run": run.id, "status": todo.status},
        values={"reason": todo.reason},
    )  # fmt: skip
    for action in _UNPRESERVED.run(tx.conn, {"run": run.id}).all():
        target = Target.parse(action.target)
        owed = VERBS[action.verb].destroys - casefile.collected(tx.peek, run.incident_id, target)
        if owed:
            text = f"{action.verb} on {action.target_name} came first; nobody has collected {', '.join(sorted(owed))}"
            tasks.open_task(
                tx, run.incident_id, kind="evidence_owed", text=text, asks={"why": "str"}, action_id=action.id
            )


_END = Statement(
    run_table.update()
    .where(run_table.c.id == sa.bindparam("run"))
    .values(status=sa.bindparam("to_status"), reason=sa.bindparam("to_reason"), ended_at=sa.bindparam("at"))
)
_UNPRESERVED = Statement(
    sa.select(action_table.c.id, action_table.c.verb, action_table.c.target, action_table.c.target_name)
    .where(
        action_table.c.run_id == sa.bindparam("run"),
        action_table.c.state.in_(literally(STANDING)),
        action_table.c.verb.in_(literally(verb.name for verb in VERBS.values() if verb.destroys)),
        action_table.c.undo_of.is_(None),
    )
    .order_by(action_table.c.id)
)
"""What a run left standing that destroys evidence."""


def _lift_again(tx: Tx, run: Any, status: str) -> None:
    """A block whose time is over could not be lifted: it is tried again, and a person is told once."""
    if not run.automatic or status == "succeeded":
        return
    for undo in actions.find(tx.conn, run_id=run.id):
        if undo.undo_of is None or undo.state is State.DONE:
            continue
        original = actions.get(tx.conn, undo.undo_of)
        hold = effects.hold_of(tx.conn, original)
        if hold is None or VERBS[original.verb].on_expiry is not OnExpiry.LIFT:
            continue
        work.arm(tx, tx.now + LIFT_AGAIN, "lease", hold.id, hold.generation)
        if not tasks.find(tx.conn, action_id=original.id, kind="lift_failed", status="open"):
            text = f"{original.verb} on {original.target_name} is over but could not be lifted: {undo.summary}"
            tasks.open_task(
                tx, run.incident_id, kind="lift_failed", text=text, asks={"why": "str"}, action_id=original.id
            )
