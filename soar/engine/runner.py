"""The shell of the engine: claims work, performs it, feeds the conductor, commits what comes next.

A run's row is read and written only inside a commit; there is no lease on a run. A message, a ring
or a thread only points at a row: what is lost is found again from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from soar.engine import approving, casefile, conductor, effects, outcomes
from soar.engine.parts import Parts
from soar.engine.run_state import RunState
from soar.engine.signals import Abandon, Arm, CancelRequested, Decision, Finish, Perform, StepEnded, TimerFired
from soar.engine.steps import Ended, Job, Parked, Steps, parked
from soar.errors import Conflict, StaleFence
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE, Actor, IncidentStatus
from soar.playbook.model import Playbook, Soar, one_step
from soar.protocol import STANDING, UNSENT, UNSETTLED, State
from soar.store import actions, incidents, runs, tasks, work
from soar.store.rows import WorkRow
from soar.store.session import Tx
from soar.store.tables import runs as run_table
from soar.verbs import VERBS, OnExpiry

log = structlog.get_logger("soar.runner")
PRIORITY = {6: 100, 5: 90, 4: 70, 3: 50, 2: 30, 1: 10, 0: 10}
"""Work priority by the incident's OCSF severity id."""
LIFT_AGAIN = timedelta(seconds=30)
"""How long after a lift that failed it is tried again."""
BREAKS = 3
"""How often a step may break inside us before it counts as failed."""


def start_run(
    tx: Tx, incident_id: str, playbook: Playbook, inputs: Mapping[str, Any], *, by: Actor, why: str, automatic: bool
) -> str:
    """Begin a run in the caller's transaction; its first work is rung for after the commit."""
    run_id = new_id()
    incident = incidents.get(tx.conn, incident_id)
    runs.save_playbook(tx, playbook, current=False)
    tx.conn.execute(
        run_table.insert().values(
            id=run_id, incident_id=incident_id, playbook_digest=playbook.digest, playbook_slug=playbook.slug,
            status="running", state={}, inputs=dict(inputs), why=why, started_by=by.id, started_kind=by.kind,
            automatic=automatic,
            priority=PRIORITY.get(incident.severity_id, 50), created_at=tx.now, started_at=tx.now,
        )
    )  # fmt: skip
    if incident.status == IncidentStatus.NEW.value and not automatic:
        incidents.set_status(tx, incident_id, IncidentStatus.IN_PROGRESS, by)
    incidents.event(
        tx, incident_id, Kind.RUN_STARTED, actor=by,
        data={"run": run_id, "playbook": playbook.slug, "digest": playbook.digest, "automatic": automatic},
        values={"why": why},
    )  # fmt: skip
    _apply(tx, runs.get(tx.conn, run_id), playbook, conductor.start(playbook, inputs, _facts(tx, incident_id)))
    return run_id


def cancel_run(tx: Tx, run_id: str, by: Actor, reason: str) -> None:
    """End a run. Containments stay and are listed; nothing that was not sent is sent."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status != "running":
        raise Conflict(f"this run is {run.status} already")
    playbook = runs.playbook(tx.conn, run.playbook_digest)
    for action in actions.find(tx.conn, run_id=run_id, states=UNSENT):
        actions.move(tx, action, State.CANCELLED, actor=by, summary=reason)
    state = RunState.from_plain(run.state)
    event = CancelRequested(reason=reason)
    incidents.event(tx, run.incident_id, Kind.RUN_CANCELLED, actor=by, data={"run": run_id}, values={"why": reason})
    _apply(tx, run, playbook, conductor.feed(playbook, state, event, _facts(tx, run.incident_id)))


def fire(tx: Tx, run_id: str, occurrence: str, attempt: int, kind: Any) -> None:
    """A timer of a step came due."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status != "running":
        return
    playbook = runs.playbook(tx.conn, run.playbook_digest)
    event = TimerFired(occurrence=occurrence, attempt=attempt, kind=kind)
    _apply(
        tx, run, playbook, conductor.feed(playbook, RunState.from_plain(run.state), event, _facts(tx, run.incident_id))
    )


class Runner:
    """A worker: takes one piece of work at a time, as often as it is asked to."""

    def __init__(self, parts: Parts, name: str, boot: str) -> None:
        self.parts = parts
        self.name = name
        self.boot = boot
        self.steps = Steps(parts)
        self.holding = ""
        """The row that this worker holds now; its claim is lengthened while it does."""

    def work_once(self) -> bool:
        """Claim and do one piece of work; False when there is none."""
        row = self.parts.store.write(lambda tx: work.claim(tx, self.name, self.boot))
        if row is None:
            return False
        self.holding = row.id
        try:
            self._do(row)
        except StaleFence as error:
            log.warning("work_taken_over", work=row.id, reason=error.message)
        except Exception as error:  # the worker's last handler: a step that breaks must not take the worker along
            log.exception("step_broke", work=row.id, occurrence=row.occurrence)
            self._broke(row, type(error).__name__)
        finally:
            self.holding = ""
        return True

    def _broke(self, row: WorkRow, what: str) -> None:
        """A step broke inside us. It is tried again from its rows; after a few times it has failed."""
        times = int(row.notes.get("broke", 0)) + 1
        if times >= BREAKS:
            self.parts.store.write(lambda tx: self._gave_up(tx, row, f"broke {times} times inside ({what})"))
            return
        again = Parked(f"broke: {what}", seconds=float(times), notes={"broke": times})
        self.parts.store.write(lambda tx: parked(tx, row, again))

    def _gave_up(self, tx: Tx, row: WorkRow, why: str) -> None:
        """The step has failed; what it had sent, and nobody can settle now, is left to a person."""
        for action in actions.of_step(tx.conn, f"run:{row.run_id}", row.occurrence, row.attempt):
            if action.state in UNSETTLED - {State.IN_DOUBT}:
                outcomes.doubt(tx, action, why)
        self._ended(tx, row, Ended("failed", reason=f"{why}; the log has the trace"))

    def _do(self, row: WorkRow) -> None:
        with self.parts.store.read() as conn:
            run = runs.get(conn, row.run_id)
            playbook = runs.playbook(conn, run.playbook_digest)
        job = Job(work=row, run=run, playbook=playbook, state=RunState.from_plain(run.state))
        done = self.steps.perform(job)
        if isinstance(done, Parked):
            self.parts.store.write(lambda tx: parked(tx, row, done))
            return
        self.parts.store.write(lambda tx: self._ended(tx, row, done))

    def _ended(self, tx: Tx, row: WorkRow, done: Ended) -> None:
        """The step's end, the run's new state and the next work, in one commit."""
        work.done(tx, row)
        run = runs.get(tx.conn, row.run_id, lock=True)
        playbook = runs.playbook(tx.conn, run.playbook_digest)
        soar = playbook.workflow[row.step_id].soar
        incidents.event(
            tx, run.incident_id, Kind.STEP_ENDED,
            data={
                "run": run.id, "step": soar.slug if soar else row.step_id, "occurrence": row.occurrence,
                "attempt": row.attempt, "result": done.result,
            },
            values={"reason": done.reason},
        )  # fmt: skip
        event = StepEnded(
            occurrence=row.occurrence, attempt=row.attempt, result=done.result, outputs=dict(done.outputs),
            reason=done.reason,
        )  # fmt: skip
        _apply(
            tx, run, playbook,
            conductor.feed(playbook, RunState.from_plain(run.state), event, _facts(tx, run.incident_id)),
        )  # fmt: skip
        if soar is not None and soar.verb == "watch":
            for host in done.outputs.get("again", ()):
                _contain_again(tx, run, str(host))


def _contain_again(tx: Tx, run: Any, host: str) -> None:
    """A watched host was hit again: cut it off at once, under the same guards as ever."""
    step = Soar(slug="contain-again", verb="isolate_host", with_={"host": host}, review=24 * 3600)
    book = one_step("contain-again", f"Contain {host} again", step, urgency="immediate")
    start_run(tx, run.incident_id, book, {}, by=ENGINE, why=f"{host} was hit again while watched", automatic=True)


def _facts(tx: Tx, incident_id: str) -> dict[str, Any]:
    """What conditions may speak of."""
    return dict(incidents.facts(tx.conn, incident_id))


def _apply(tx: Tx, run: Any, playbook: Playbook, decision: Decision) -> None:
    """Save the conductor's state and turn what it wants into rows, all in this commit."""
    tx.conn.execute(run_table.update().where(run_table.c.id == run.id).values(state=decision.state.as_plain()))
    for todo in decision.todo:
        match todo:
            case Perform():
                work.add(
                    tx, run.id, occurrence=todo.occurrence, attempt=todo.attempt, kind=todo.kind,
                    step_id=todo.step_id, branch=todo.branch, priority=run.priority,
                )  # fmt: skip
                step = playbook.workflow[todo.step_id]
                incidents.event(
                    tx, run.incident_id, Kind.STEP_STARTED,
                    data={
                        "run": run.id, "step": step.soar.slug if step.soar else todo.step_id,
                        "occurrence": todo.occurrence, "attempt": todo.attempt, "kind": todo.kind,
                    },
                )  # fmt: skip
            case Arm():
                ref = f"{run.id}|{todo.occurrence}"
                work.arm(tx, tx.now + timedelta(seconds=todo.seconds), f"step_{todo.kind}", ref, todo.attempt)
            case Abandon():
                _call_off(tx, run, todo, decision.state.status)
            case Finish():
                _finish(tx, run, todo)


def _call_off(tx: Tx, run: Any, todo: Abandon, status: str) -> None:
    """Nothing new is begun for this step, and nobody is asked about it; what was sent is settled by its worker."""
    why = "the run was cancelled" if status == "cancelled" else "its time was over"
    for row in actions.find(tx.conn, run_id=run.id, states=UNSENT):
        if row.step_path == todo.occurrence or row.step_path.startswith((f"{todo.occurrence}/", f"{todo.occurrence}@")):
            actions.move(tx, row, State.CANCELLED, summary=why)
    work_id = work.abandon(tx, run.id, todo.occurrence, todo.attempt)
    if work_id is not None:
        approving.withdraw(tx, work_id, why)
        for task in tasks.find(tx.conn, work_id=work_id, status="open"):
            tasks.close(tx, task, ENGINE, {"withdrawn": why})


def _finish(tx: Tx, run: Any, todo: Finish) -> None:
    tx.conn.execute(
        run_table.update()
        .where(run_table.c.id == run.id)
        .values(status=todo.status, reason=todo.reason, ended_at=tx.now)
    )
    _lift_again(tx, run, todo.status)
    incidents.event(
        tx, run.incident_id, Kind.RUN_ENDED, actor=ENGINE, data={"run": run.id, "status": todo.status},
        values={"reason": todo.reason},
    )  # fmt: skip
    for action in actions.find(tx.conn, run_id=run.id, states=STANDING):
        owed = VERBS[action.verb].destroys - casefile.collected(tx.conn, action)
        if owed and not action.undo_of:
            text = f"{action.verb} on {action.target_name} came first; nobody has collected {', '.join(sorted(owed))}"
            tasks.open_task(
                tx, run.incident_id, kind="evidence_owed", text=text, asks={"why": "str"}, action_id=action.id
            )


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
        work.arm(tx, tx.now + LIFT_AGAIN, "lease", hold.id, 1)
        if not tasks.find(tx.conn, action_id=original.id, kind="lift_failed", status="open"):
            text = f"{original.verb} on {original.target_name} is over but could not be lifted: {undo.summary}"
            tasks.open_task(
                tx, run.incident_id, kind="lift_failed", text=text, asks={"why": "str"}, action_id=original.id
            )
