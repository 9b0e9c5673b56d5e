"""Event streams in the database: append inside a write, read back, and wait to be sealed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar import events as written
from soar.ids import new_id
from soar.model import ENGINE, Actor, Event
from soar.phases import Phase
from soar.store.session import Tx
from soar.store.tables import event_values, events, unsealed

SYSTEM = "system"
PREPARATION = "preparation"
Body = tuple[bytes, Mapping[str, tuple[str, Any]]]


def incident_stream(incident_id: str) -> str:
    """The stream of one incident."""
    return f"incident:{incident_id}"


def append(
    tx: Tx,
    stream: str,
    kind: written.Kind,
    *,
    actor: Actor = ENGINE,
    at: datetime | None = None,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> str:
    """Write one event in the caller's transaction; returns its id. `values` may be redacted later."""
    last = tx.conn.execute(
        sa.select(events.c.seq, events.c.hash).where(events.c.stream == stream).order_by(events.c.seq.desc()).limit(1)
    ).first()
    sealed = written.seal(
        event_id=new_id(),
        stream=stream,
        seq=last.seq + 1 if last else 0,
        prev=last.hash if last else written.GENESIS,
        kind=kind,
        at=at or tx.now,
        recorded_at=tx.now,
        actor=f"{actor.kind}:{actor.id}",
        data=data or {},
        values=values or {},
    )
    tx.conn.execute(
        events.insert().values(
            id=sealed.id, stream=stream, seq=sealed.seq, kind=sealed.kind, at=sealed.at,
            recorded_at=sealed.recorded_at, actor=sealed.actor, body=sealed.body, hash=sealed.hash, prev=sealed.prev,
        )
    )  # fmt: skip
    rows = [
        {"event_id": sealed.id, "name": name, "salt": salt, "value": value}
        for name, (salt, value) in sealed.values.items()
    ]
    if rows:
        tx.conn.execute(event_values.insert(), rows)
    tx.conn.execute(unsealed.insert().values(event_id=sealed.id))
    return sealed.id


def read(conn: sa.Connection, stream: str, after: int = -1, limit: int = 1_000_000) -> list[Event]:
    """The events of a stream in order, from the position behind `after`."""
    query = sa.select(events).where(events.c.stream == stream, events.c.seq > after).order_by(events.c.seq).limit(limit)
    rows = conn.execute(query).all()
    values = _values(conn, [row.id for row in rows])
    return [_event(row, {name: value for name, (_, value) in values.get(row.id, {}).items()}) for row in rows]


def bodies(conn: sa.Connection, stream: str) -> list[Body]:
    """The stored bytes of a stream and the values that still stand beside them, for verification."""
    rows = conn.execute(
        sa.select(events.c.id, events.c.body).where(events.c.stream == stream).order_by(events.c.seq)
    ).all()
    values = _values(conn, [row.id for row in rows])
    return [(bytes(row.body), values.get(row.id, {})) for row in rows]


def names(conn: sa.Connection) -> Iterator[str]:
    """Every stream there is."""
    yield from conn.execute(sa.select(events.c.stream).distinct().order_by(events.c.stream)).scalars()


def _values(conn: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, tuple[str, Any]]]:
    found: dict[str, dict[str, tuple[str, Any]]] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        for row in conn.execute(sa.select(event_values).where(event_values.c.event_id.in_(part))):
            found.setdefault(row.event_id, {})[row.name] = (row.salt, row.value)
    return found


def _event(row: Any, values: Mapping[str, Any]) -> Event:
    body = json.loads(row.body)
    data = body["data"]
    phase = data.get("phase")
    return Event(
        id=row.id, stream=row.stream, seq=row.seq, kind=row.kind, at=row.at, recorded_at=row.recorded_at,
        actor=row.actor, data=data, values=values, phase=Phase(phase) if phase in set(Phase) else None,
    )  # fmt: skip
