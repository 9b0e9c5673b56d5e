"""Drills in the database: each is one event of the stream `preparation`, and its id is the event's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.events import Kind
from soar.model import Actor, Event
from soar.phases import Phase
from soar.store import streams
from soar.store.session import Tx
from soar.store.tables import events

_DRILLS = sa.select(events.c.id, events.c.seq).where(
    events.c.stream == streams.PREPARATION, events.c.kind == Kind.DRILL_ENDED.value
)


def keep(tx: Tx, actor: Actor, data: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Write a drill down; returns its id. `report` names persons and targets, and may be redacted later."""
    return streams.append(
        tx, streams.PREPARATION, Kind.DRILL_ENDED, actor=actor, data={"phase": Phase.PREPARATION.value, **data},
        values={"report": dict(report)},
    )  # fmt: skip


def get(conn: sa.Connection, drill_id: str) -> Event:
    """One drill; raises NotFound."""
    row = conn.execute(_DRILLS.where(events.c.id == drill_id)).first()
    if row is None:
        raise NotFound(f"no drill {drill_id!r}")
    return _read(conn, row.seq)


def listed(conn: sa.Connection, after: str | None, limit: int) -> list[Event]:
    """At most so many drills, newest first, from behind the one with the id `after`."""
    query = _DRILLS if after is None else _DRILLS.where(events.c.id < after)
    return [_read(conn, row.seq) for row in conn.execute(query.order_by(events.c.id.desc()).limit(limit)).all()]


def newest(conn: sa.Connection, kind: str, *, before: str | None = None) -> Event | None:
    """The last drill of a kind (estate or lab), or the last one before another."""
    after = before
    while found := listed(conn, after, 20):
        for each in found:
            if each.data.get("drill") == kind:
                return each
        after = found[-1].id
    return None


def _read(conn: sa.Connection, seq: int) -> Event:
    return streams.read(conn, streams.PREPARATION, after=seq - 1, limit=1)[0]
