"""Tasks in the database: every question to a person, whatever asked it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.events import Kind
from soar.ids import new_id
from soar.model import Actor
from soar.store import incidents, work
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import tasks


def open_task(
    tx: Tx, incident_id: str, *, kind: str, text: str, asks: Mapping[str, str], run_id: str | None = None,
    work_id: str | None = None, action_id: str | None = None, within: float | None = None,
) -> str:  # fmt: skip
    """Ask a person. `asks` names each answer with its type (bool, str, int, list, any); `within` is in seconds."""
    task_id = new_id()
    due_at = tx.now + timedelta(seconds=within) if within else None
    row = {
        "id": task_id, "incident_id": incident_id, "run_id": run_id, "work_id": work_id, "action_id": action_id,
        "kind": kind, "text": text, "asks": dict(asks), "status": "open", "opened_at": tx.now, "due_at": due_at,
        "done_at": None, "done_by": None, "answer": {},
    }  # fmt: skip
    tx.run(_OPEN, row)
    if due_at:
        work.arm(tx, due_at, "task", task_id, 0, {"within": within})
    incidents.event(tx, incident_id, Kind.TASK_OPENED, data={"task": task_id, "kind": kind}, values={"text": text})
    return task_id


def close(tx: Tx, task: Any, actor: Actor, given: Mapping[str, Any]) -> None:
    """Write down the answer."""
    tx.conn.execute(
        tasks.update()
        .where(tasks.c.id == task.id)
        .values(status="done", done_at=tx.now, done_by=actor.id, answer=dict(given))
    )
    work.disarm(tx, "task", task.id)
    incidents.event(
        tx, task.incident_id, Kind.TASK_DONE, actor=actor, data={"task": task.id, "kind": task.kind},
        values={"answer": dict(given)},
    )  # fmt: skip


def close_all(tx: Tx, action_id: str, kinds: Collection[str], actor: Actor, given: Mapping[str, Any]) -> None:
    """Write down one answer to every open question of these kinds about an action."""
    for task in find(tx.conn, action_id=action_id, status="open"):
        if task.kind in kinds:
            close(tx, task, actor, given)


def get(conn: sa.Connection, task_id: str, *, lock: bool = False) -> Any:
    """One task; raises NotFound. `lock` keeps others from answering it until the commit."""
    query = sa.select(tasks).where(tasks.c.id == task_id)
    row = conn.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None:
        raise NotFound(f"no task {task_id!r}")
    return row


def find(conn: sa.Connection, **wanted: str) -> list[Any]:
    """Tasks by columns (incident_id, work_id, action_id, status, kind), oldest first."""
    query = sa.select(tasks).order_by(tasks.c.id)
    for name, value in wanted.items():
        query = query.where(tasks.c[name] == value)
    return list(conn.execute(query))


_OPEN = Statement(tasks.insert())
