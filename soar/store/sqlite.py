"""SQLite's driver: every statement is run at once, in transactions that nobody else begins."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from soar.store.statement import WIRE, Answer, Compiled, Given, LostRace, failed

_SETTINGS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000")
_KNOWN = 512
"""So many statements stay prepared."""


class SqliteWire:
    """One connection of the driver."""

    def __init__(self, raw: Any, dialect: Dialect) -> None:
        self._raw: sqlite3.Connection = raw
        self._dialect = dialect

    def begin(self, *, writes: bool) -> None:
        """A read sees one moment, that of its first statement."""
        self._do("BEGIN IMMEDIATE" if writes else "BEGIN")

    def run(self, compiled: Compiled, given: Given) -> Answer:
        """Raises LostRace where a row that had to be there was not changed."""
        try:
            if isinstance(given, list):
                return self._raw.executemany(compiled.sql, [compiled.bound(each) for each in given])
            done = self._raw.execute(compiled.sql, compiled.bound(given))
        except sqlite3.Error as error:
            raise failed(error, compiled.sql, self._dialect, self._raw) from error
        if compiled.lost and not done.rowcount:
            raise LostRace(compiled.lost)
        return done

    def commit(self) -> None:
        self._do("COMMIT")

    def rollback(self) -> None:
        """Undo what is open, if anything is."""
        try:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
        except sqlite3.Error:
            self._raw.close()

    def cut(self) -> bool:
        """It was closed."""
        try:
            return self._raw.total_changes < 0
        except sqlite3.ProgrammingError:
            return True

    def _do(self, sql: str) -> None:
        try:
            self._raw.execute(sql)
        except sqlite3.Error as error:
            raise failed(error, sql, self._dialect, self._raw) from error


def engine(url: sa.URL) -> sa.Engine:
    """WAL with full sync: what is committed survives a crash of the machine."""
    settings = {"timeout": 10, "check_same_thread": False, "cached_statements": _KNOWN}
    made = sa.create_engine(url, connect_args=settings, poolclass=sa.pool.NullPool)

    @sa.event.listens_for(made, "connect")
    def _prepare(raw: Any, record: Any) -> None:
        raw.isolation_level = None
        for setting in _SETTINGS:
            raw.execute(f"PRAGMA {setting}")
        record.info[WIRE] = SqliteWire(raw, made.dialect)

    return made
