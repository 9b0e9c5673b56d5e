"""Actions in the database: insert under their unique key, move by the table, find."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.errors import Conflict, NotFound
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE, Actor
from soar.protocol import MOVES, State, check_move
from soar.store import streams
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import actions as table
from soar.verbs import VERBS


def insert(tx: Tx, **columns: Any) -> ActionRow:
    """Add a planned action, or return the one that already stands under the same unique key."""
    where = [
        table.c[name] == columns[name]
        for name in ("origin", "step_path", "command_index", "target", "verb", "generation")
    ]
    found = tx.conn.execute(sa.select(table).where(*where)).first()
    if found:
        return ActionRow.from_row(found)
    key = new_id()
    empty: dict[str, Any] = {"prior": {}, "handle": {}, "outputs": {}, "guards": []}
    tx.conn.execute(
        table.insert().values({**empty, **columns, "id": key, "state": State.PLANNED.value, "created_at": tx.now})
    )
    row = get(tx.conn, key)
    _event(tx, row, ENGINE, row.summary, {})
    return row


def get(conn: sa.Connection, key: str) -> ActionRow:
    """One action; raises NotFound."""
    row = conn.execute(sa.select(table).where(table.c.id == key)).first()
    if row is None:
        raise NotFound(f"no action {key!r}")
    return ActionRow.from_row(row)


def known(conn: sa.Connection, key: str | None) -> ActionRow | None:
    """The action that a key found at a target belongs to, if it is one of ours."""
    row = conn.execute(sa.select(table).where(table.c.id == key)).first() if key else None
    return ActionRow.from_row(row) if row is not None else None


def move(
    tx: Tx,
    action: ActionRow,
    to: State,
    *,
    actor: Actor = ENGINE,
    summary: str = "",
    facts: Mapping[str, Any] | None = None,
    **columns: Any,
) -> ActionRow:
    """Change an action's state and write the event of it, in one transaction.

    Raises Conflict if the table of moves forbids it or the row has moved since it was read.
    """
    check_move(action.state, to)
    if summary:
        columns["summary"] = summary
    if not MOVES[to]:
        columns.setdefault("ended_at", tx.now)
    changed = tx.conn.execute(
        table.update()
        .where(table.c.id == action.id, table.c.state == action.state.value)
        .values(state=to.value, **columns)
    )
    if changed.rowcount != 1:
        raise Conflict(f"action {action.id} has moved since it was read")
    row = get(tx.conn, action.id)
    _event(tx, row, actor, summary, facts or {})
    return row


def note(tx: Tx, action: ActionRow, **columns: Any) -> ActionRow:
    """Write columns that are no change of state (an inspection's result, a guard's findings)."""
    tx.conn.execute(table.update().where(table.c.id == action.id).values(**columns))
    return get(tx.conn, action.id)


def of_step(conn: sa.Connection, origin: str, step_path: str, generation: int) -> list[ActionRow]:
    """The actions of one attempt of one step, in the order in which they were planned."""
    query = (
        sa.select(table)
        .where(table.c.origin == origin, table.c.step_path == step_path, table.c.generation == generation)
        .order_by(table.c.id)
    )
    return [ActionRow.from_row(row) for row in conn.execute(query)]


def find(
    conn: sa.Connection,
    *,
    incident_id: str | None = None,
    run_id: str | None = None,
    states: Collection[State] = (),
    verbs: Collection[str] = (),
    target: str | None = None,
    approval_id: str | None = None,
) -> list[ActionRow]:
    """Actions by what is asked for; all conditions must hold."""
    query = sa.select(table).order_by(table.c.id)
    for column, value in (
        ("incident_id", incident_id),
        ("run_id", run_id),
        ("target", target),
        ("approval_id", approval_id),
    ):
        if value is not None:
            query = query.where(table.c[column] == value)
    if states:
        query = query.where(table.c.state.in_([state.value for state in states]))
    if verbs:
        query = query.where(table.c.verb.in_(list(verbs)))
    return [ActionRow.from_row(row) for row in conn.execute(query)]


def count_called(conn: sa.Connection, verb: str, *, run_id: str | None, since: datetime) -> tuple[int, int]:
    """How many actions of a verb were sent: in this run, and since a time across all runs."""
    sent = sa.and_(table.c.verb == verb, table.c.called_at.is_not(None), table.c.undo_of.is_(None))
    run = conn.execute(sa.select(sa.func.count()).where(sent, table.c.run_id == run_id)).scalar_one()
    hour = conn.execute(sa.select(sa.func.count()).where(sent, table.c.called_at >= since)).scalar_one()
    return int(run), int(hour)


def hour_before(now: datetime) -> datetime:
    """Where the sliding hour of the caps begins."""
    return now - timedelta(hours=1)


def _event(tx: Tx, row: ActionRow, actor: Actor, summary: str, facts: Mapping[str, Any]) -> None:
    data: dict[str, Any] = {
        "action": row.id,
        "verb": row.verb,
        "state": row.state.value,
        "phase": VERBS[row.verb].phase.value,
        "adapter": row.adapter,
        "step": row.step,
        "generation": row.generation,
    }
    if row.run_id:
        data["run"] = row.run_id
    if row.undo_of:
        data |= {"undo_of": row.undo_of, "recovered": row.undo_reason == "recovered"}
    values = {"target": str(row.target), "target_name": row.target_name}
    if summary:
        values["reason"] = summary
    streams.append(
        tx,
        streams.incident_stream(row.incident_id),
        Kind.ACTION_MOVED,
        actor=actor,
        data=data | dict(facts),
        values=values,
    )
