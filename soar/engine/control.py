"""What persons do to a run on its way: cancel it."""

from __future__ import annotations

from soar.engine import running
from soar.engine.signals import CancelRequested
from soar.errors import Conflict
from soar.events import Kind
from soar.model import Actor
from soar.protocol import UNSENT, State
from soar.store import actions, incidents, runs
from soar.store.session import Tx


def cancel_run(tx: Tx, run_id: str, by: Actor, reason: str) -> None:
    """End a run. Containments stay and are listed; nothing that was not sent is sent."""
    run = runs.get(tx.conn, run_id, lock=True)
    if run.status != "running":
        raise Conflict(f"this run is {run.status} already")
    for action in actions.find(tx.conn, run_id=run_id, states=UNSENT):
        actions.move(tx, action, State.CANCELLED, actor=by, summary=reason)
    incidents.event(tx, run.incident_id, Kind.RUN_CANCELLED, actor=by, data={"run": run_id}, values={"why": reason})
    running.feed(tx, run, CancelRequested(reason=reason))
