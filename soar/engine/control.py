"""What persons do to a run on its way: pause, resume, cancel, try again, pass a step over.

Each is one commit with its event, who asked for it and why. Where it makes no sense now it raises
Conflict and changes nothing.

- A pause sends nothing new. What was sent comes to its outcome; votes, answers and timers are taken
  in, and what follows from them waits for the resume. Leases, reviews and deadlines run on.
- Cancel ends the run. Its containments stay, and `left_standing` lists them.
- A failed run is tried again where it broke, as a new attempt with new keys, or goes on behind a
  step that is passed over; not while one of its calls is unsettled, and not in a closed incident.
- A step is passed over while nothing of it is unsettled. What it had not sent is called off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from soar.engine import closing, conductor, effects, running
from soar.engine.run_state import UNDER_WAY, Occurrence, RunState
from soar.engine.signals import CancelRequested, PauseRequested, ResumeRequested, RetryRequested, SkipRequested
from soar.engine.turn import broken
from soar.errors import Conflict, NotFound
from soar.events import Kind
from soar.model import Actor, IncidentStatus
from soar.playbook.model import Playbook
from soar.protocol import UNSENT, UNSETTLED, State
from soar.store import actions, incidents, runs, work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import incidents as incident_table
from soar.store.tables import runs as run_table
from soar.store.tables import work as work_table
from soar.verbs import VERBS


def pause_run(tx: Tx, run_id: str, by: Actor, reason: str) -> None:
    """Send nothing new for a run until it is resumed."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status != "running":
        raise Conflict(f"this run is {run.status} already")
    _set(tx, run, status="paused", reason=f"paused by {by.name}: {reason}")
    incidents.event(tx, run.incident_id, Kind.RUN_PAUSED, actor=by, data={"run": run_id}, values={"why": reason})
    running.feed(tx, run, PauseRequested())
    for called in runs.calls(tx.conn, run_id):
        if runs.get(tx.conn, called).status == "running":
            pause_run(tx, called, by, reason)


def resume_run(tx: Tx, run_id: str, by: Actor, reason: str) -> None:
    """Let a paused run go on: what was held is performed, and what is parked looks again."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status != "paused":
        raise Conflict(f"this run is {run.status}, not paused")
    _set(tx, run, status="running", reason="")
    incidents.event(tx, run.incident_id, Kind.RUN_RESUMED, actor=by, data={"run": run_id}, values={"why": reason})
    waiting = sa.select(work_table.c.id).where(work_table.c.run_id == run_id, work_table.c.state != "done")
    for work_id in tx.conn.execute(waiting.order_by(work_table.c.id)).scalars().all():
        work.wake(tx, work_id)
    running.feed(tx, run, ResumeRequested())
    for called in runs.calls(tx.conn, run_id):
        if runs.get(tx.conn, called).status == "paused":
            resume_run(tx, called, by, reason)


def cancel_run(tx: Tx, run_id: str, by: Actor, reason: str) -> None:
    """End a run. Containments stay and are listed; nothing that was not sent is sent."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status not in UNDER_WAY:
        raise Conflict(f"this run is {run.status} already")
    work.hold(tx, run_id)
    for action in actions.find(tx.conn, run_id=run_id, states=UNSENT):
        actions.move(tx, action, State.CANCELLED, actor=by, summary=reason)
    incidents.event(tx, run.incident_id, Kind.RUN_CANCELLED, actor=by, data={"run": run_id}, values={"why": reason})
    running.feed(tx, run, CancelRequested(reason=reason))
    for called in runs.calls(tx.conn, run_id):
        cancel_run(tx, called, by, reason)


def retry_run(tx: Tx, run_id: str, by: Actor, reason: str, occurrence: str = "") -> None:
    """Let a failed run go on where it broke; `occurrence` names one of several such places."""
    run, playbook, state = _read(tx, run_id)
    if run.status != "failed":
        raise Conflict(f"this run is {run.status}; only a failed run is tried again")
    _refuse_unsettled(actions.find(tx.conn, run_id=run_id, states=UNSETTLED))
    places = [place for place in broken(state) if occurrence in ("", place)]
    if not places:
        raise Conflict("there is nothing to try again" + _named(occurrence, broken(state)))
    _reopen(tx, run)
    for place in places:
        visit = state.steps[place]
        _event(tx, run, Kind.STEP_RETRIED, by, reason, _step(playbook, visit) | {"attempt": visit.attempt + 1})
    running.feed(tx, run, RetryRequested(occurrence=occurrence))


def skip_step(tx: Tx, run_id: str, occurrence: str, by: Actor, reason: str) -> None:
    """Pass a step over; its branch goes on as if it had succeeded, without outputs."""
    run, playbook, state = _read(tx, run_id)
    if occurrence not in state.steps:
        raise NotFound(f"this run has come to no step {occurrence!r}")
    choice = conductor.skippable(playbook, state)
    if occurrence not in choice:
        raise Conflict(f"{occurrence} is {state.steps[occurrence].status} and cannot be skipped" + _named("", choice))
    work.hold(tx, run_id)
    own = [row for row in actions.find(tx.conn, run_id=run_id) if _belongs(row, occurrence)]
    _refuse_unsettled([row for row in own if row.state in UNSETTLED])
    for row in own:
        if row.state in UNSENT:
            actions.move(tx, row, State.CANCELLED, actor=by, summary=f"skipped: {reason}")
    if run.status == "failed":
        _reopen(tx, run)
    _event(tx, run, Kind.STEP_SKIPPED, by, reason, _step(playbook, state.steps[occurrence]))
    running.feed(tx, run, SkipRequested(occurrence=occurrence, reason=reason))


def left_standing(conn: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """What stands, or may stand, because of a run: entries of the register.

    `decide` says what a person must still decide about an entry; it is empty where nothing is open.
    """
    run = runs.get(conn, run_id)
    own = {row.id for row in actions.find(conn, run_id=run_id)}
    open_ends = {each["id"]: each["why"] for each in closing.undecided(conn, run.incident_id)}
    return [
        {**entry, "decide": open_ends.get(entry["id"], "")}
        for entry in effects.register(conn, incident_id=run.incident_id)
        if _keeps(entry, own)
    ]


def _keeps(entry: Mapping[str, Any], own: set[str]) -> bool:
    """One of these actions holds the entry, or is the call that nobody has settled yet."""
    if not entry["holds"]:
        return entry["action_id"] in own
    return any(hold["action_id"] in own and hold["ended_at"] is None for hold in entry["holds"])


def _read(tx: Tx, run_id: str) -> tuple[Any, Playbook, RunState]:
    """A run that may go on after its end: its incident is locked before it, so that it stays open."""
    incident_id = runs.get(tx.conn, run_id).incident_id
    tx.conn.execute(
        sa.select(incident_table.c.id).where(incident_table.c.id == incident_id).with_for_update(key_share=True)
    )
    run = runs.get(tx.conn, run_id, lock=True)
    return run, runs.playbook(tx.conn, run.playbook_digest), RunState.from_plain(run.state)


def _reopen(tx: Tx, run: Any) -> None:
    """A run that had failed is under way again."""
    if incidents.get(tx.conn, run.incident_id).status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    _set(tx, run, status="running", reason="", ended_at=None)


def _set(tx: Tx, run: Any, **columns: Any) -> None:
    tx.conn.execute(run_table.update().where(run_table.c.id == run.id).values(**columns))


def _refuse_unsettled(found: list[ActionRow]) -> None:
    if found:
        said = "; ".join(f"{row.verb} on {row.target_name} is {row.state.value}" for row in found)
        raise Conflict(f"not before it is settled what was sent: {said}", unsettled=[row.id for row in found])


def _belongs(row: ActionRow, occurrence: str) -> bool:
    return row.step_path == occurrence or row.step_path.startswith((f"{occurrence}/", f"{occurrence}@"))


def _named(given: str, places: list[str]) -> str:
    said = f" at {given}" if given else ""
    return f"{said}; possible: {', '.join(places)}" if places else said


def _step(playbook: Playbook, visit: Occurrence) -> dict[str, Any]:
    """What events say of a step."""
    soar = playbook.workflow[visit.step_id].soar
    verb = soar.verb if soar else ""
    phase = {"verb": verb, "phase": VERBS[verb].phase.value} if verb in VERBS else {}
    step = soar.slug if soar and soar.slug else visit.step_id
    return {"step": step, "occurrence": visit.id, "attempt": visit.attempt, **phase}


def _event(tx: Tx, run: Any, kind: Kind, by: Actor, reason: str, data: Mapping[str, Any]) -> None:
    incidents.event(tx, run.incident_id, kind, actor=by, data={"run": run.id, **data}, values={"reason": reason})
