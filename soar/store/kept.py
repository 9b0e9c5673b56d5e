"""Connections that stay open between their uses, so that a use costs no round trip, no check and no thought."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from soar.store.statement import WIRE, Wire

_SPARE = 10
"""So many stay open while nobody uses them."""


class Kept:
    """Lends connections; the one that was used last goes first.

    `most` are lent at once; who comes later waits, for so many seconds.
    """

    def __init__(self, engine: sa.Engine, most: int = 40, patience: float = 30) -> None:
        self._engine = engine
        self._free: list[sa.Connection] = []
        self._room = threading.BoundedSemaphore(most)
        self._patience = patience
        self._closed = False

    @contextmanager
    def lend(self, *, writes: bool) -> Iterator[sa.Connection]:
        """A connection in a transaction, which is committed at the end, or undone where that fails.

        Raises what SQLAlchemy raises.
        """
        if not self._room.acquire(timeout=self._patience):
            raise sa.exc.TimeoutError(f"no connection became free in {self._patience} s")
        try:
            conn = self._free_one() or self.open()
            wire: Wire = conn.info[WIRE]
            try:
                wire.begin(writes=writes)
                yield conn
                wire.commit()
            except BaseException:
                wire.rollback()
                raise
            finally:
                self._take_back(conn, wire)
        finally:
            self._room.release()

    def open(self) -> sa.Connection:
        """A new one. What SQLAlchemy takes for its one transaction goes on until it is closed; ours are the wire's."""
        conn = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        conn.begin()
        return conn

    def close(self) -> None:
        """Close what is free now, and what is lent once it comes back."""
        self._closed = True
        while self._free:
            drop(self._free.pop())

    def _free_one(self) -> sa.Connection | None:
        while True:
            try:
                conn = self._free.pop()
            except IndexError:
                return None
            if not conn.info[WIRE].cut():
                return conn
            drop(conn)

    def _take_back(self, conn: sa.Connection, wire: Wire) -> None:
        if self._closed or conn.invalidated or len(self._free) >= _SPARE or wire.cut():
            drop(conn)
            return
        self._free.append(conn)
        if self._closed:
            self.close()


def drop(conn: sa.Connection) -> None:
    """Close for good, in whatever state it is."""
    conn.invalidate()
    conn.close()
