"""The end of an incident: nothing may be left undecided when it is closed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from soar.engine import effects
from soar.engine.run_state import UNDER_WAY
from soar.errors import Conflict, NotFound
from soar.events import Kind
from soar.model import Actor, IncidentStatus
from soar.release import Disposition
from soar.store import incidents, tasks
from soar.store.session import Tx
from soar.store.tables import effects as effect_table
from soar.store.tables import runs

_QUESTIONS = frozenset({"in_doubt", "ambiguous", "unresolved"})
"""Tasks without whose answer nobody knows what the incident was."""


def close(tx: Tx, incident_id: str, actor: Actor, resolution: str) -> None:
    """Close an incident. Raises Conflict with `undecided` (what, id, why) while something is open."""
    incident = incidents.get(tx.conn, incident_id, lock=True)
    if incident.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed already")
    open_ends = undecided(tx.conn, incident.id)
    if open_ends:
        said = "; ".join(each["why"] for each in open_ends)
        raise Conflict(f"this incident cannot be closed yet: {said}", undecided=open_ends)
    incidents.update(tx, incident.id, status=IncidentStatus.CLOSED.value, closed_at=tx.now)
    incidents.event(
        tx, incident.id, Kind.INCIDENT_CLOSED, actor=actor, data={"incident": incident.id},
        values={"resolution": resolution},
    )  # fmt: skip


def undecided(conn: sa.Connection, incident_id: str) -> list[dict[str, Any]]:
    """What keeps an incident from being closed: runs under way, open questions, standing containments."""
    running = conn.execute(
        sa.select(runs).where(runs.c.incident_id == incident_id, runs.c.status.in_(UNDER_WAY)).order_by(runs.c.id)
    )
    found = [{"what": "run", "id": run.id, "why": f"the run of {run.playbook_slug} goes on"} for run in running]
    found += [
        {"what": "task", "id": task.id, "why": f"not answered: {task.text}"}
        for task in tasks.find(conn, incident_id=incident_id, status="open")
        if task.kind in _QUESTIONS
    ]
    found += [
        {
            "what": "effect",
            "id": entry["id"],
            "why": f"{entry['verb']} on {entry['target']} stands and nobody has said what becomes of it",
        }
        for entry in effects.register(conn, incident_id=incident_id)
        if entry["disposition"] is None and _held_by(entry, incident_id)
    ]
    found += [
        {
            "what": "action",
            "id": row.id,
            "why": f"{row.verb} on {row.target_name} is {row.state.value}: nobody has said whether it stands",
        }
        for row in effects.unsettled(conn, incident_id)
    ]
    return found


def dispose(tx: Tx, effect_id: str, disposition: str, why: str, actor: Actor) -> None:
    """Decide what becomes of a standing containment.

    Raises NotFound, and Conflict for one that has ended or that is to be kept to a date it does not have.
    """
    effect = tx.conn.execute(sa.select(effect_table).where(effect_table.c.id == effect_id)).first()
    if effect is None:
        raise NotFound(f"no effect {effect_id!r}")
    if effect.ended_at is not None:
        raise Conflict("this effect has ended already")
    if disposition == Disposition.KEPT_TO_DATE.value and (effect.expires_at is None or effect.expires_at <= tx.now):
        raise Conflict("only what ends by itself can be kept to its date: release this, or hand it over")
    effects.dispose(tx, effect_id, disposition, why, actor)


def _held_by(entry: dict[str, Any], incident_id: str) -> bool:
    return any(hold["incident_id"] == incident_id and hold["ended_at"] is None for hold in entry["holds"])
