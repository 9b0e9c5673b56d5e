"""The database connection: group commit, rows written at the end, and the few SQLite/PostgreSQL differences.

All writes are functions handed to `Store.write`. On SQLite whoever comes first leads: it runs every
function that waits, its own among them, in one commit, so that one fsync serves many and no client
starves. On PostgreSQL each function is a transaction of its own on the caller's thread; what loses
a race there (a deadlock, a serialization failure, a duplicate key, a row that has moved) is run
again. So a function may run more than once, and must touch nothing but its transaction. What it
asked to ring is rung only after the commit.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from soar.errors import Conflict, Unavailable
from soar.ports import Clock, Doorbell
from soar.store.kept import Kept, drop
from soar.store.statement import WIRE, LostRace, Statement

T = TypeVar("T")
GROUP = 64
"""At most so many writes share one commit."""
RACES = 12
"""How often a function that lost a race on PostgreSQL is run again."""
_LOST = {"40001": RACES, "40P01": RACES, "23505": 3}
"""How often what failed with this SQLSTATE is tried: a serialization failure, a deadlock, a duplicate key (which
may be a race, and may be a name that is simply taken)."""
_REFUSED = "P0001"
"""SQLSTATE of what a trigger of ours refuses."""
_OWN_FAULT = (sa.exc.DataError, sa.exc.ProgrammingError, sa.exc.InterfaceError, sa.exc.NotSupportedError)
"""What the driver refuses because of the statement, not because of the database."""
_AWAY = (sa.exc.TimeoutError, sa.exc.DisconnectionError, sa.exc.PendingRollbackError)
"""No connection could be had from the pool, or the one in use was cut."""


class Pending(Protocol):
    """Something in memory that will be written: before anybody reads through `Tx.conn`, or at the commit."""

    def flush(self, tx: Tx) -> None: ...


class Tx:
    """An open write: the connection, the time that everything in it happens at, what to ring.

    `conn` first writes what is pending, so that whoever reads through it sees everything. `run` does
    not: it is for statements that cannot meet a pending row, on the way of every step.
    """

    __slots__ = ("_conn", "_last", "_pending", "locked", "now", "postgres", "rings")

    def __init__(self, conn: sa.Connection, now: datetime) -> None:
        self._conn = conn
        self.now = now
        self.postgres = conn.dialect.name == "postgresql"
        self.rings: list[str] = []
        self.locked: dict[str, int] = {}
        """Versions of rows that this transaction has locked, by id: nobody else moves them now."""
        self._pending: dict[str, Pending] = {}
        self._last: dict[str, Pending] = {}

    @property
    def conn(self) -> sa.Connection:
        """The connection, with everything written that was pending."""
        if self._pending:
            self.flush()
        return self._conn

    @property
    def peek(self) -> sa.Connection:
        """The connection as it is, for reads that cannot meet what is pending."""
        return self._conn

    def run(self, statement: sa.Executable | Statement, parameters: Any = None) -> Any:
        """Execute without writing what is pending first."""
        if isinstance(statement, Statement):
            return statement.run(self._conn, parameters)
        return self._conn.execute(statement, parameters)

    def pending(self, key: str) -> Any | None:
        """What is pending under this key."""
        return self._pending.get(key)

    def pend(self, key: str, what: Pending) -> None:
        """Write this once somebody reads, or at the commit, in the order in which it came."""
        self._pending[key] = what

    def flush(self) -> None:
        """Write what is pending."""
        while self._pending:
            self._pending.pop(next(iter(self._pending))).flush(self)

    def last(self, key: str, make: Callable[[], T]) -> T:
        """What is written after everything else (the events); made when it is first asked for."""
        found = self._last.get(key)
        if found is None:
            self._last[key] = found = make()  # type: ignore[assignment]
        return found  # type: ignore[return-value]

    def finish(self) -> None:
        """Write all that is pending, then what comes last."""
        self.flush()
        for each in self._last.values():
            each.flush(self)

    def ring(self, work_id: str) -> None:
        """Wake a worker for this row once the commit stands; "" wakes who watches the timers."""
        self.rings.append(work_id)


class _Silent:
    def ring(self, work_id: str = "") -> None:
        """Nobody listens yet."""


class _Write(Generic[T]):
    """One function that waits for its commit, and what came of it."""

    __slots__ = ("done", "error", "function", "result", "rings")

    def __init__(self, function: Callable[[Tx], T]) -> None:
        self.function = function
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.rings: list[str] = []

    def run(self, conn: sa.Connection, now: datetime) -> None:
        tx = Tx(conn, now)
        self.result = self.function(tx)
        tx.finish()
        self.rings = tx.rings

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        result: T = self.result
        return result


class Store:
    """The one way to the database."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = sa.make_url(url)
        self.clock = clock
        self.doorbell: Doorbell = _Silent()
        self.embedded = self.url.get_backend_name() == "sqlite"
        self.engine = _engine(self.url)
        self._kept = Kept(self.engine)
        self._waiting: deque[_Write[Any]] = deque()
        self._lead = threading.Lock()
        self._leader = 0
        self._writer: sa.Connection | None = None
        self._closed = False
        self._mine = threading.local()
        sa.event.listen(self.engine, "do_connect", self._refuse_when_closed)

    def write(self, function: Callable[[Tx], T]) -> T:
        """Run a function in a write transaction and return its result once that is durable.

        Errors of the function reach the caller, and nothing of it is kept. Raises Unavailable when
        the database cannot be written (locked elsewhere, full, gone), Conflict when a race is lost
        again and again.
        """
        self._refuse_when_closed()
        mine = _Write(function)
        if not self.embedded:
            self._race(mine)
        else:
            self._queue(mine)
        result = mine.outcome()
        for work_id in mine.rings:
            self.doorbell.ring(work_id)
        return result

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read-only view of one moment; on PostgreSQL each statement sees its own.

        Raises Unavailable when the database cannot be read.
        """
        self._refuse_when_closed()
        try:
            with self._kept.lend(writes=False) as conn:
                yield conn
        except sa.exc.SQLAlchemyError as error:
            named = _named(error, "read")
            if named is error:
                raise
            raise named from error

    def close(self) -> None:
        """Finish what is being written, then let go of the database."""
        with self._lead:
            if self._closed:
                return
            self._closed = True
            for each in self._waiting:
                each.error, each.done = Unavailable("the store is closed"), True
            self._drop_writer()
            self._kept.close()

    def _refuse_when_closed(self, *_: Any) -> None:
        """Asked before each use, and again before a connection is opened: after `close` nobody opens one."""
        if self._closed:
            raise Unavailable("the store is closed")

    # --- SQLite --------------------------------------------------------------------------------

    def _queue(self, mine: _Write[Any]) -> None:
        """Wait for a leader to write this, or lead."""
        me = threading.get_ident()
        if self._leader == me:
            raise RuntimeError("a write inside a write would wait for itself")
        self._waiting.append(mine)
        while not mine.done:
            with self._lead:
                if mine.done:
                    return
                self._refuse_when_closed()
                self._leader = me
                try:
                    self._commit_next()
                finally:
                    self._leader = 0

    def _commit_next(self) -> None:
        """Write what waits. An interrupt is the leader's own: whoever it wrote for is told, and waits no longer."""
        batch = [self._waiting[place] for place in range(min(GROUP, len(self._waiting)))]
        try:
            self._commit(batch)
        except (KeyboardInterrupt, SystemExit):
            self._drop_writer()
            raise
        finally:
            for each in batch:
                if not each.done:
                    each.error, each.done = Unavailable("interrupted while this was written; look whether it was"), True
            while self._waiting and self._waiting[0].done:
                self._waiting.popleft()

    def _commit(self, batch: list[_Write[Any]]) -> None:
        """All in one transaction; where one of them fails, each in its own."""
        if len(batch) > 1 and self._together(batch):
            return
        for each in batch:
            self._together([each])

    def _together(self, batch: list[_Write[Any]]) -> bool:
        """One transaction for the batch; False when a part of several failed and nothing was kept."""
        try:
            writer = self._open_writer()
            wire = writer.info[WIRE]
            try:
                wire.begin(writes=True)
                for each in batch:
                    each.run(writer, self.clock.now())
                wire.commit()
            except BaseException:
                wire.rollback()
                raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, whatever it is
            if len(batch) > 1:
                return False
            batch[0].error = _named(error)
        for each in batch:
            each.done = True
        return True

    def _open_writer(self) -> sa.Connection:
        if self._writer is None or self._writer.invalidated or self._writer.info[WIRE].cut():
            self._drop_writer()
            self._writer = self._kept.open()
        return self._writer

    def _drop_writer(self) -> None:
        """Nobody knows in which state an interrupt has left the connection."""
        writer, self._writer = self._writer, None
        if writer is not None:
            drop(writer)

    # --- PostgreSQL ----------------------------------------------------------------------------

    def _race(self, mine: _Write[Any]) -> None:
        """A transaction of its own; run again while others are faster."""
        if getattr(self._mine, "writes", False):
            raise RuntimeError("a write inside a write would wait for itself")
        self._mine.writes = True
        try:
            self._run_again(mine)
        finally:
            self._mine.writes = False

    def _run_again(self, mine: _Write[Any]) -> None:
        for lost in range(RACES):
            mine.error = None
            try:
                with self._kept.lend(writes=True) as conn:
                    mine.run(conn, self.clock.now())
                return
            except (sa.exc.SQLAlchemyError, LostRace) as error:
                mine.error = _named(error)
                if lost + 1 >= _tries(error):
                    return
            time.sleep(random.uniform(0, 0.005 * 2 ** min(lost, 5)))  # noqa: S311 - to let the others go first


def _tries(error: sa.exc.SQLAlchemyError | LostRace) -> int:
    """How often a function that failed like this is tried in all."""
    if isinstance(error, LostRace):
        return error.tries
    return _LOST.get(_sqlstate(error), 0)


def _named(error: BaseException, what: str = "written") -> BaseException:
    """What the database could not do, as the error that the house knows; a function's own fault as it is."""
    if isinstance(error, sa.exc.IntegrityError) or _sqlstate(error) == _REFUSED:
        return Conflict(f"the database refuses this: {_first_line(error)}")
    cut = isinstance(error, sa.exc.DBAPIError) and (error.connection_invalidated or not isinstance(error, _OWN_FAULT))
    if not cut and not isinstance(error, _AWAY):
        return error
    named = Unavailable(f"the database cannot be {what}: {_first_line(error)}")
    named.__cause__ = error
    return named


def _sqlstate(error: BaseException) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _first_line(error: BaseException) -> str:
    return (str(getattr(error, "orig", error)).splitlines() or ["no reason given"])[0]


def _engine(url: sa.URL) -> sa.Engine:
    """Only the driver that is needed is imported: the one for PostgreSQL is not always there."""
    if url.get_backend_name() == "sqlite":
        from soar.store.sqlite import engine
    else:
        from soar.store.postgres import engine
    return engine(url)
