"""PostgreSQL's driver: what is run waits until somebody asks what came of it, or for the commit; then it goes together.

Each message to the server and back costs more than most statements. So statements stand in line, the
BEGIN before them and the COMMIT behind, and are sent in one message, in order (libpq's pipeline mode).
One that fails stops all that follow it in the message, the COMMIT too. Each statement is prepared
once on each connection.
"""

from __future__ import annotations

import re
import select
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from sqlalchemy.engine import Dialect

from soar.store.statement import WIRE, Compiled, Given, LostRace, failed

_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=30s -c timezone=UTC"
"""Statements that hang on a lock give up."""
_NO_ROW = "22012"
"""SQLSTATE of a division by zero: how a statement says that its row was not there."""
_FORMAT = {False: PyFormat.TEXT, True: PyFormat.BINARY}
_ROWS = (16, 4, 3, 2, 1)
"""So many rows go into one statement."""
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_GOOD = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


def _command(word: str) -> Compiled:
    return Compiled(
        sql=word, name=f"soar_{word}".lower().encode(), lost="", parameters=(), converted=(), binary=(), columns=(),
        row=tuple,
    )  # fmt: skip


_BEGIN, _COMMIT = _command("BEGIN"), _command("COMMIT")


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The rows in parts of few sizes, since a statement is prepared for each."""
    start = 0
    for size in _ROWS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _shifted(sql: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", sql)


@lru_cache(maxsize=512)
def _times(insert: Compiled, rows: int) -> Compiled:
    """An INSERT of one row as one of so many."""
    head, _, rest = insert.sql.partition(" VALUES ")
    one, conflict, rest = rest.partition(" ON CONFLICT")
    many = ", ".join(_shifted(one, row * len(insert.parameters)) for row in range(rows))
    return replace(
        insert, sql=f"{head} VALUES {many}{conflict}{rest}", name=b"%s_%d" % (insert.name, rows),
        binary=insert.binary * rows,
    )  # fmt: skip


class PostgresWire:
    """One connection of the driver."""

    def __init__(self, raw: Any, dialect: Dialect) -> None:
        self._raw: psycopg.Connection[Any] = raw
        self._pg = raw.pgconn
        self._dialect = dialect
        self._transformer = Transformer.from_context(raw)
        self._waiting: list[_Sent] = []
        self._prepared: set[bytes] = set()
        self._writes = False
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(self._pg.socket, select.POLLIN)
        self._either.register(self._pg.socket, select.POLLIN | select.POLLOUT)

    def begin(self, *, writes: bool) -> None:
        """For reads nothing: with this isolation each statement sees its own moment, in a transaction or not."""
        self._writes = writes
        if writes:
            self._waiting.append(_Sent(self, _BEGIN, []))

    def run(self, compiled: Compiled, given: Given) -> _Sent:
        """Put a statement in line; an INSERT of several rows (never of none) as few statements of many rows."""
        try:
            for rows in _parts(given) if isinstance(given, list) else [[given]]:
                bound = self._bound(compiled, rows)
                last = _Sent(self, _times(compiled, len(rows)) if len(rows) > 1 else compiled, bound)
                self._waiting.append(last)
        except psycopg.Error as error:
            raise failed(error, compiled.sql, self._dialect, self._raw) from error
        return last

    def commit(self) -> None:
        """Send what still waits and the COMMIT behind it; a read has nothing to commit."""
        if self._writes:
            self._waiting.append(_Sent(self, _COMMIT, []))
        self.drain()

    def rollback(self) -> None:
        """Forget what waits, undo what was sent. What was interrupted while it was sent is cut."""
        self._waiting.clear()
        status = self._pg.transaction_status
        if status == TransactionStatus.IDLE and self._pg.pipeline_status == PipelineStatus.OFF:
            return
        if status not in _OPEN or self._pg.pipeline_status != PipelineStatus.OFF or not self._undone():
            self._raw.close()

    def cut(self) -> bool:
        """The server or the network has ended the connection: then the end can be read, without asking for it."""
        if self._raw.closed:
            return True
        try:
            while self._readable.poll(0):
                self._pg.consume_input()
        except psycopg.Error:
            return True
        return bool(self._pg.status != ConnStatus.OK)

    def drain(self) -> None:
        """Send what waits, and take every answer. Raises the first error among them."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        at = waiting[0]
        try:
            self._pg.enter_pipeline_mode()
            for each in waiting:
                self._send(each)
            self._pg.pipeline_sync()
            self._flush()
            refused: psycopg.Error | None = None
            for each in waiting:
                wrong = self._take(each)
                if wrong is not None and refused is None:
                    at, refused = each, wrong
            self._next()
            self._pg.exit_pipeline_mode()
        except psycopg.Error as error:
            refused = error
        if refused is not None:
            if at.compiled.lost and refused.sqlstate == _NO_ROW:
                raise LostRace(at.compiled.lost)
            raise failed(refused, at.compiled.sql, self._dialect, self._raw) from refused

    def rows(self, result: Any, most: int) -> list[tuple[Any, ...]]:
        """The rows of a result, the first ones of them."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, min(result.ntuples, most), tuple)

    def _bound(self, compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        values = [value for row in rows for value in compiled.bound(row)]
        return list(self._transformer.dump_sequence(values, [_FORMAT[each] for each in compiled.binary] * len(rows)))

    def _undone(self) -> bool:
        try:
            return bool(self._pg.exec_(b"ROLLBACK").status == ExecStatus.COMMAND_OK)
        except (psycopg.Error, MemoryError):  # libpq has no answer at all where the connection was cut meanwhile
            return False

    def _send(self, each: _Sent) -> None:
        """Put it on the wire, prepared where it never was on this connection."""
        name = each.compiled.name
        if name not in self._prepared:
            self._pg.send_prepare(name, each.compiled.sql.encode())
            self._prepared.add(name)
            each.new = True
        self._pg.send_query_prepared(name, each.parameters, each.compiled.binary)

    def _take(self, each: _Sent) -> psycopg.Error | None:
        """Take the answer to one statement; what was wrong with it, if anything was."""
        first = self._one()
        result = self._one() if each.new else first
        if result.status in _GOOD:
            each.result = result
            return None
        if each.new and first.status not in _GOOD:
            self._prepared.discard(each.compiled.name)
        wrong = first if first.status == ExecStatus.FATAL_ERROR else result
        return psycopg.errors.error_from_result(wrong, encoding="utf-8")

    def _one(self) -> Any:
        """The next answer, and the end of it."""
        found = self._next()
        if found is None:
            raise psycopg.OperationalError("the connection was cut before the answer came")
        self._next()
        return found

    def _next(self) -> Any:
        while self._pg.is_busy():
            self._readable.poll()
            self._pg.consume_input()
        return self._pg.get_result()

    def _flush(self) -> None:
        """Until all is sent; the server may want to be heard before it takes more."""
        while self._pg.flush():
            if any(event & select.POLLIN for _, event in self._either.poll()):
                self._pg.consume_input()


class _Sent:
    """A statement in line, later with its answer."""

    __slots__ = ("_wire", "compiled", "new", "parameters", "result")

    def __init__(self, wire: PostgresWire, compiled: Compiled, parameters: list[Any]) -> None:
        self._wire = wire
        self.compiled = compiled
        self.parameters = parameters
        self.new = False
        """It is prepared in the same message."""
        self.result: Any = None

    @property
    def rowcount(self) -> int:
        return int(self._answer().command_tuples or 0)

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(iter(self._wire.rows(self._answer(), 1)), None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        answer = self._answer()
        return self._wire.rows(answer, answer.ntuples)

    def _answer(self) -> Any:
        if self.result is None:
            self._wire.drain()
        return self.result


def engine(url: sa.URL) -> sa.Engine:
    """What SQLAlchemy runs goes behind all that waits."""
    settings = {"options": _OPTIONS, "connect_timeout": 5}
    made = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=settings)

    @sa.event.listens_for(made, "connect")
    def _wired(raw: Any, record: Any) -> None:
        record.info[WIRE] = PostgresWire(raw, made.dialect)

    @sa.event.listens_for(made, "before_cursor_execute")
    def _in_order(conn: sa.Connection, *_: Any) -> None:
        conn.info[WIRE].drain()

    return made
