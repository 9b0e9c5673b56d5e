"""Limits in the database: buckets and lines of connected systems, and how many targets a verb has touched.

Whoever asks for a bucket holds its row to the commit, so two processes never both take the last token.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from soar.guards.policy import AdapterLimit
from soar.guards.reach import plain
from soar.model import Entity
from soar.protocol import ON_REGISTER, State
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import actions, buckets, lines, runs, scope, work

HOUR = timedelta(hours=1)
GRACE = timedelta(seconds=5)
"""How late one in line may come back before it counts no more."""
STALE = timedelta(minutes=1)
"""How late it may come back before its place is cleared away."""


def tokens(tx: Tx, adapter: str, limit: AdapterLimit) -> float:
    """Lock an adapter's bucket and say how many tokens are in it now: none to `burst`."""
    query = (
        sa.select(buckets.c.tokens, buckets.c.filled_at)
        .where(buckets.c.adapter == adapter)
        .with_for_update(key_share=True)
    )
    row = tx.conn.execute(query).first()
    if row is None:  # who adds it at the same moment on PostgreSQL meets the primary key, and is run again
        full = float(limit.burst)
        tx.conn.execute(buckets.insert().values(adapter=adapter, tokens=full, filled_at=tx.now))
        return full
    seconds = max(0.0, (tx.now - row.filled_at).total_seconds())
    left: float = row.tokens
    return float(min(limit.burst, left + seconds * (limit.rate or 0.0)))


def take(tx: Tx, adapter: str, left: float) -> None:
    """Write down what is left in a bucket that this transaction has locked."""
    tx.conn.execute(buckets.update().where(buckets.c.adapter == adapter).values(tokens=left, filled_at=tx.now))


def calling(conn: sa.Connection, adapter: str, but: str) -> int:
    """How many calls through an adapter are on their way, in every process; `but` this action."""
    query = sa.select(sa.func.count()).where(
        actions.c.state == sa.literal_column(f"'{State.CALLING.value}'"),  # literally, for the partial index
        actions.c.adapter == adapter, actions.c.id != but,
    )  # fmt: skip
    return int(conn.execute(query).scalar_one())


def ahead(conn: sa.Connection, action: ActionRow, priority: int, now: datetime, soon: datetime) -> tuple[int, int]:
    """How many stand in line before this action: all of them, and those that come back until `soon`."""
    older = sa.or_(
        lines.c.since < action.created_at,
        sa.and_(lines.c.since == action.created_at, lines.c.action_id < action.id),
    )
    query = sa.select(sa.func.count(), sa.func.count(sa.case((lines.c.back_at <= soon, 1)))).where(
        lines.c.adapter == action.adapter,
        sa.or_(lines.c.priority > priority, sa.and_(lines.c.priority == priority, older)),
        lines.c.action_id != action.id,
        lines.c.back_at >= now - GRACE,
    )
    everybody, near = conn.execute(query).one()
    return int(everybody), int(near)


def stand_in_line(tx: Tx, action: ActionRow, priority: int, back_at: datetime) -> None:
    """Keep a place for an action that comes back at a time. Its age counts from when it was planned."""
    changed = tx.conn.execute(lines.update().where(lines.c.action_id == action.id).values(back_at=back_at))
    if not changed.rowcount:
        tx.conn.execute(
            lines.insert().values(
                action_id=action.id, adapter=action.adapter, priority=priority, since=action.created_at, back_at=back_at
            )
        )


def leave_line(tx: Tx, action: ActionRow) -> None:
    """Its turn has come; those that never came back for theirs are cleared away too."""
    stale = sa.and_(lines.c.adapter == action.adapter, lines.c.back_at < tx.now - STALE)
    tx.conn.execute(lines.delete().where(sa.or_(lines.c.action_id == action.id, stale)))


def next_in_line(tx: Tx, adapter: str) -> str | None:
    """The work of whoever is next in line and not back yet; their place now says that they come back at once."""
    query = sa.select(lines.c.action_id).where(lines.c.adapter == adapter, lines.c.back_at > tx.now)
    best = query.order_by(lines.c.priority.desc(), lines.c.since, lines.c.action_id).limit(1)
    action_id = tx.conn.execute(best).scalar()
    if action_id is None:
        return None
    tx.conn.execute(lines.update().where(lines.c.action_id == action_id).values(back_at=tx.now))
    held = sa.and_(
        work.c.run_id == actions.c.run_id,
        work.c.occurrence == actions.c.step_path,
        work.c.attempt == actions.c.generation,
    )
    found = sa.select(work.c.id).join(actions, held).where(actions.c.id == action_id)
    work_id: str | None = tx.conn.execute(found).scalar()
    return work_id


def priority_of(conn: sa.Connection, action: ActionRow) -> int:
    """The priority of an action's run; 0 outside any run."""
    return int(conn.execute(sa.select(runs.c.priority).where(runs.c.id == action.run_id)).scalar() or 0)


def lock_verb(conn: sa.Connection, verb: str) -> None:
    """One transaction at a time counts a verb's targets and adds its own. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("cap"), sa.func.hashtext(verb))))


def touched(conn: sa.Connection, action: ActionRow, *where: sa.ColumnElement[bool]) -> int:
    """How many other targets the action's verb was sent to, under these conditions. Undone ones count."""
    query = sa.select(sa.func.count(sa.distinct(actions.c.target))).where(*_others(action), *where)
    return int(conn.execute(query).scalar_one())


def in_run(conn: sa.Connection, action: ActionRow) -> int:
    """How many targets in this run, this action's counted in."""
    return 1 + (touched(conn, action, actions.c.run_id == action.run_id) if action.run_id else 0)


def in_incident(conn: sa.Connection, action: ActionRow) -> int:
    """How many targets in this incident, this action's counted in."""
    return 1 + touched(conn, action, actions.c.incident_id == action.incident_id)


def in_hour(conn: sa.Connection, action: ActionRow, now: datetime) -> int:
    """How many targets within the last hour over all runs, this action's counted in."""
    return 1 + touched(conn, action, actions.c.called_at > now - HOUR)


def group_share(
    conn: sa.Connection, action: ActionRow, entity: Entity | None, sizes: Mapping[str, int], now: datetime
) -> float | None:
    """The largest share of a group that would be touched with this action; None where a size is not known.

    Touched is what the verb was sent to within the hour, and what still stands (or may stand) from before.
    """
    groups = {plain(name) for name in entity.groups} if entity is not None else set()
    if not groups <= sizes.keys():
        return None
    if not groups:
        return 0.0
    stands = actions.c.state.in_(sorted(state.value for state in ON_REGISTER))
    query = sa.select(actions.c.target).distinct().where(*_others(action), actions.c.called_at > now - HOUR)
    older = sa.select(actions.c.target).distinct().where(*_others(action), stands)
    kind = action.target.kind.value
    found = {str(text).removeprefix(f"{kind}:") for text in conn.execute(sa.union(query, older)).scalars()}
    members = _members(conn, kind, found)
    return max((1 + sum(name in held for held in members.values())) / sizes[name] for name in groups)


def _others(action: ActionRow) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        actions.c.verb == action.verb, actions.c.called_at.is_not(None), actions.c.undo_of.is_(None),
        actions.c.target != str(action.target),
    )  # fmt: skip


def _members(conn: sa.Connection, kind: str, ids: set[str]) -> dict[str, set[str]]:
    """The groups of each of these things, as any incident's scope has them."""
    held: dict[str, set[str]] = {}
    ordered = sorted(ids)
    for first in range(0, len(ordered), 500):
        part = scope.c.entity_id.in_(ordered[first : first + 500])
        for row in conn.execute(sa.select(scope.c.entity_id, scope.c.entity).where(scope.c.kind == kind, part)):
            held.setdefault(row.entity_id, set()).update(plain(name) for name in row.entity.get("groups", ()))
    return held
