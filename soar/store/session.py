"""The database connection: one writer with group commit, and the few SQLite/PostgreSQL differences.

All writes are functions handed to `Store.write`. On SQLite one thread runs them, several in one
commit when several wait, so that no client starves and one fsync serves many. Each function runs
in its own savepoint: an error undoes that function alone. What it asked to ring is rung only after
the commit. On PostgreSQL each function is a transaction of its own on the caller's thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from soar.errors import Unavailable
from soar.ports import Clock, Doorbell

T = TypeVar("T")
GROUP = 64
"""At most so many writes share one commit."""


@dataclass(slots=True)
class Tx:
    """An open write: the connection, the time that everything in it happens at, what to ring."""

    conn: sa.Connection
    now: datetime
    rings: list[str] = field(default_factory=list)

    def ring(self, work_id: str) -> None:
        """Wake a worker for this row once the commit stands; "" wakes who watches the timers."""
        self.rings.append(work_id)


class _Silent:
    def ring(self, work_id: str = "") -> None:
        """Nobody listens yet."""


_STOP: Any = object()


class Store:
    """The one way to the database."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = sa.make_url(url)
        self.clock = clock
        self.doorbell: Doorbell = _Silent()
        self.embedded = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.embedded else sa.create_engine(self.url, pool_pre_ping=True)
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = False
        self._writer: threading.Thread | None = None
        if self.embedded:
            self._writer = threading.Thread(target=self._write_forever, name="store-writer", daemon=True)
            self._writer.start()

    def write(self, function: Callable[[Tx], T]) -> T:
        """Run a function in a write transaction and return its result once that is durable.

        Errors of the function reach the caller, and nothing of it is kept. Raises Unavailable when
        the database cannot be written (locked elsewhere, full, gone).
        """
        if self._closed:
            raise Unavailable("the store is closed")
        if not self.embedded:
            return self._write_here(function)
        if threading.current_thread() is self._writer:
            raise RuntimeError("a write inside a write would wait for itself")
        future: Future[T] = Future()
        self._queue.put((function, future))
        return future.result()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read-only view of one moment."""
        try:
            with self.engine.connect() as conn, conn.begin():
                yield conn
        except sa.exc.OperationalError as error:
            raise Unavailable(f"the database cannot be read: {error.orig}") from error

    def close(self) -> None:
        """Finish what waits, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._queue.put(_STOP)
            self._writer.join()
        self.engine.dispose()

    def _write_here(self, function: Callable[[Tx], T]) -> T:
        try:
            with self.engine.begin() as conn:
                tx = Tx(conn, self.clock.now())
                result = function(tx)
        except sa.exc.OperationalError as error:
            raise Unavailable(f"the database cannot be written: {error.orig}") from error
        self._ring(tx.rings)
        return result

    def _write_forever(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < GROUP:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            stop = _STOP in batch
            self._commit([entry for entry in batch if entry is not _STOP])
            if stop:
                return

    def _commit(self, batch: list[tuple[Callable[[Tx], Any], Future[Any]]]) -> None:
        """One transaction for the batch, a savepoint for each; answers only after the commit."""
        if not batch:
            return
        done: list[tuple[Future[Any], Any]] = []
        rings: list[str] = []
        try:
            with self.engine.begin() as conn:
                for function, future in batch:
                    tx = Tx(conn, self.clock.now())
                    try:
                        with conn.begin_nested():
                            result = function(tx)
                    except sa.exc.OperationalError:
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
                        future.set_exception(error)
                    else:
                        done.append((future, result))
                        rings.extend(tx.rings)
        except sa.exc.SQLAlchemyError as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(Unavailable(f"the database cannot be written: {error}"))
            return
        for future, result in done:
            future.set_result(result)
        self._ring(rings)

    def _ring(self, rings: list[str]) -> None:
        for work_id in rings:
            self.doorbell.ring(work_id)


def _sqlite(url: sa.URL) -> sa.Engine:
    """WAL with full sync: what is committed survives a crash of the machine."""
    engine = sa.create_engine(url, connect_args={"timeout": 10, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            raw.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(conn: sa.Connection) -> None:
        writer = threading.current_thread().name == "store-writer"
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine
