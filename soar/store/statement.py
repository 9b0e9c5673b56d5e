"""Statements that run at every step: compiled once, then handed to the driver itself.

SQLAlchemy writes the SQL and knows how each type is stored; what it does besides, for every
execution, costs several times what SQLite needs for the statement. So a statement that stands on
the way of every step is compiled once for each database, with the conversions of its parameters
and columns, and run on the driver's own connection, inside the transaction that is open there.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    parameters: tuple[tuple[str, bool, Any, Convert], ...]
    """Name, whether it must be given, its value where it is not, and how it is stored, in the order of the SQL."""
    converted: tuple[tuple[int, Callable[[Any], Any]], ...]
    """The places whose values are stored in another form."""
    names: tuple[str, ...]
    positional: bool
    columns: tuple[Convert, ...]
    row: Callable[..., Any]

    def bound(self, given: Mapping[str, Any]) -> Any:
        stored = [given[name] if must else given.get(name, default) for name, must, default, _ in self.parameters]
        for place, convert in self.converted:
            stored[place] = convert(stored[place])
        return stored if self.positional else dict(zip(self.names, stored, strict=True))

    def read(self, raw: Sequence[Any]) -> Any:
        return self.row(
            *[value if read is None else read(value) for value, read in zip(raw, self.columns, strict=True)]
        )


class Statement:
    """A SELECT, INSERT or UPDATE over bound parameters. An INSERT without values takes every column of its table."""

    def __init__(self, clause: sa.Select[Any] | sa.Insert | sa.Update) -> None:
        self.clause = clause
        self._compiled: dict[str, _Compiled] = {}

    def run(self, conn: sa.Connection, given: Mapping[str, Any] | list[dict[str, Any]]) -> Result:
        """Execute it, for one set of parameters or for each of several.

        Raises what SQLAlchemy would raise for the driver's errors.
        """
        compiled = self._compiled.get(conn.dialect.name) or self._compile(conn.dialect)
        driver: Any = conn.connection.dbapi_connection
        try:
            if not isinstance(given, list):
                return Result(compiled, driver.execute(compiled.sql, compiled.bound(given)))
            cursor = driver.cursor()
            cursor.executemany(compiled.sql, [compiled.bound(each) for each in given])
            return Result(compiled, cursor)
        except conn.dialect.loaded_dbapi.Error as error:
            if conn.dialect.is_disconnect(error, driver, None):
                conn.invalidate(error)
            base = conn.dialect.loaded_dbapi.Error
            raise sa.exc.DBAPIError.instance(
                compiled.sql, None, error, base, hide_parameters=True, dialect=conn.dialect,
                connection_invalidated=conn.invalidated,
            ) from error  # fmt: skip

    def _compile(self, dialect: Dialect) -> _Compiled:
        keys = [column.key for column in self.clause.table.c] if isinstance(self.clause, sa.Insert) else None
        built: Any = self.clause.compile(dialect=dialect, column_keys=keys)
        names = built.positiontup if built.positional else list(built.binds)
        binds = [built.binds[name] for name in names]
        parameters = tuple(
            (name, bind.required, bind.value, _writer(bind.type, dialect))
            for name, bind in zip(names, binds, strict=True)
        )
        columns: Sequence[Any] = list(self.clause.exported_columns)  # of a SELECT, or of RETURNING
        self._compiled[dialect.name] = done = _Compiled(
            sql=str(built), parameters=parameters, names=tuple(names), positional=bool(built.positional),
            converted=tuple((place, each[3]) for place, each in enumerate(parameters) if each[3] is not None),
            columns=tuple(_reader(column.type, dialect) for column in columns),
            row=namedtuple("Row", [column.key for column in columns]),
        )  # fmt: skip
        return done


def literally(words: Iterable[str]) -> list[sa.ColumnElement[str]]:
    """Fixed words of our own, written into the SQL instead of given to it.

    SQLite plans a statement anew at each execution where a parameter meets the condition of a partial index.
    """
    return [sa.literal_column(f"'{word}'") for word in sorted(words)]


class Result:
    """What came of a statement: rows that are read by name, and how many rows were changed."""

    __slots__ = ("_compiled", "_cursor")

    def __init__(self, compiled: _Compiled, cursor: Any) -> None:
        self._compiled = compiled
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return int(self._cursor.rowcount)

    def first(self) -> Any | None:
        """The first row, if there is one."""
        raw = self._cursor.fetchone()
        return None if raw is None else self._compiled.read(raw)

    def all(self) -> list[Any]:
        """Every row."""
        return [self._compiled.read(raw) for raw in self._cursor.fetchall()]


def _writer(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
