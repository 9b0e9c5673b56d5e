"""Event streams in the database: append inside a write, read back, and wait to be sealed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from soar import events as written
from soar.errors import Problem, Unavailable
from soar.ids import new_id
from soar.model import ENGINE, Actor, Event
from soar.phases import Phase
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import event_values, events, heads, unsealed

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
    """Write one event in the caller's transaction; returns its id. `values` may be redacted later.

    It gets its place in the stream at the end of the transaction, so that a stream is locked for
    the shortest time and after everything else. What is pending (an action's move) comes before it.
    """
    tx.flush()
    return say(tx, stream, kind, actor=actor, at=at, data=data, values=values)


def say(
    tx: Tx,
    stream: str,
    kind: written.Kind,
    *,
    actor: Actor = ENGINE,
    at: datetime | None = None,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> str:
    """`append` for what is itself just being written out: nothing goes before it."""
    said = _Said(new_id(), stream, kind, at or tx.now, f"{actor.kind}:{actor.id}", data or {}, values or {})
    tx.last("events", _Unwritten).said.append(said)
    return said.id


@dataclass(frozen=True, slots=True)
class _Said:
    """An event that has no place in its stream yet."""

    id: str
    stream: str
    kind: written.Kind
    at: datetime
    actor: str
    data: Mapping[str, Any]
    values: Mapping[str, Any]


class _Unwritten:
    """The events of one transaction."""

    def __init__(self) -> None:
        self.said: list[_Said] = []

    def flush(self, tx: Tx) -> None:
        """Give each event its place, seal it, and write all of them at once."""
        heads = {stream: _head(tx, stream) for stream in sorted({each.stream for each in self.said})}
        rows, values = [], []
        for each in self.said:
            seq, prev = heads[each.stream]
            sealed = written.seal(
                event_id=each.id, stream=each.stream, seq=seq + 1, prev=prev, kind=each.kind, at=each.at,
                recorded_at=tx.now, actor=each.actor, data=each.data, values=each.values,
            )  # fmt: skip
            heads[each.stream] = sealed.seq, sealed.hash
            rows.append(
                {
                    "id": sealed.id, "stream": each.stream, "seq": sealed.seq, "kind": sealed.kind, "at": sealed.at,
                    "recorded_at": tx.now, "actor": each.actor, "body": sealed.body, "hash": sealed.hash, "prev": prev,
                }
            )  # fmt: skip
            values += [
                {"event_id": sealed.id, "name": name, "salt": salt, "value": value}
                for name, (salt, value) in sealed.values.items()
            ]
        if tx.postgres:
            for stream, (seq, last) in heads.items():
                tx.run(_MOVE_HEAD, {"head": stream, "to_seq": seq, "to_hash": last})
        tx.run(_EVENT, rows)
        tx.run(_UNSEALED, [{"event_id": each.id} for each in self.said])
        if values:
            tx.run(_VALUE, values)


_EVENT, _VALUE, _UNSEALED = Statement(events.insert()), Statement(event_values.insert()), Statement(unsealed.insert())
_LAST = Statement(
    sa.select(events.c.seq, events.c.hash)
    .where(events.c.stream == sa.bindparam("head"))
    .order_by(events.c.seq.desc())
    .limit(1)
)
_HEAD = Statement(
    sa.select(heads.c.seq, heads.c.hash).where(heads.c.stream == sa.bindparam("head")).with_for_update(key_share=True)
)
_MOVE_HEAD = Statement(
    heads.update()
    .where(heads.c.stream == sa.bindparam("head"))
    .values(seq=sa.bindparam("to_seq"), hash=sa.bindparam("to_hash"))
)


def _head(tx: Tx, stream: str) -> tuple[int, str]:
    """Number and hash of a stream's last event.

    SQLite has one writer at a time. On PostgreSQL the stream's row in `heads` is locked until the
    commit, so that every event follows the one before it, whoever writes.
    """
    last = tx.run(_HEAD if tx.postgres else _LAST, {"head": stream}).first()
    if last is None and tx.postgres:
        tx.run(heads.insert().values(stream=stream, seq=-1, hash=written.GENESIS))
    return (last.seq, last.hash) if last else (-1, written.GENESIS)


def read(conn: sa.Connection, stream: str, after: int = -1, limit: int = 1_000_000) -> list[Event]:
    """The events of a stream in order, from the position behind `after`, as their stored bytes say.

    Raises Unavailable where those bytes are no event any more.
    """
    columns = sa.select(events.c.id, events.c.body).where(events.c.stream == stream, events.c.seq > after)
    rows = conn.execute(columns.order_by(events.c.seq).limit(limit)).all()
    values = _values(conn, [row.id for row in rows])
    return [_event(row, {name: value for name, (_, value) in values.get(row.id, {}).items()}) for row in rows]


def bodies(conn: sa.Connection, stream: str) -> list[Body]:
    """The stored bytes of a stream and the values that still stand beside them, for verification."""
    rows = conn.execute(
        sa.select(events.c.id, events.c.body).where(events.c.stream == stream).order_by(events.c.seq)
    ).all()
    values = _values(conn, [row.id for row in rows])
    return [(bytes(row.body), values.get(row.id, {})) for row in rows]


def verify(conn: sa.Connection, stream: str) -> tuple[int, list[Problem]]:
    """How many events a stream has, and what is wrong: with the stored bytes, and with the columns beside them."""
    # As text, since a forged time may be none: whatever stands there is compared, nothing is parsed by the driver.
    columns = [
        events.c.id, events.c.stream, events.c.seq, events.c.kind, events.c.actor, events.c.hash, events.c.prev,
        sa.type_coerce(events.c.at, sa.String).label("at"),
        sa.type_coerce(events.c.recorded_at, sa.String).label("recorded_at"),
    ]  # fmt: skip
    rows = conn.execute(sa.select(*columns).where(events.c.stream == stream).order_by(events.c.seq)).all()
    beside = [
        {**row._mapping, "at": _stamped(row.at), "recorded_at": _stamped(row.recorded_at)}  # noqa: SLF001
        for row in rows
    ]
    return len(rows), written.verify_stream(stream, bodies(conn, stream), beside)


def said(body: bytes) -> Any:
    """What an event's stored bytes say; raises Unavailable where they are no event any more."""
    try:
        found = json.loads(body)
        if isinstance(found["data"], dict) and isinstance(found["actor"], str):
            return found
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Unavailable("the record holds an event that cannot be read; verify the log")


def _stamped(value: Any) -> str:
    """A time as it stands in a column (SQLite: text without a zone), as the bytes would say it."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return written.stamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except ValueError:
        return str(value)


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
    """The event of a row, from its bytes alone: the columns beside them serve only to find it."""
    body = said(row.body)
    try:
        phase = body["data"].get("phase")
        return Event(
            id=body["id"], stream=body["stream"], seq=body["seq"], kind=body["kind"],
            at=written.moment(body["at"]), recorded_at=written.moment(body["recorded_at"]),
            actor=body["actor"], data=body["data"], values=values,
            phase=Phase(phase) if phase in set(Phase) else None,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable("the record holds an event that cannot be read; verify the log") from error
