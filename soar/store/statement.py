"""Statements that run at every step: compiled once, then handed to the driver itself.

SQLAlchemy writes the SQL and knows how each type is stored; what it does besides, for every
execution, costs several times what SQLite needs for the statement. So a statement that stands on
the way of every step is compiled once for each database, with the conversions of its parameters
and columns, and run on the driver's own connection (its wire), inside the transaction that is open
there.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from soar.errors import Conflict

Convert = Callable[[Any], Any] | None
Given = Mapping[str, Any] | list[dict[str, Any]]
_NUMBER = count()
_SURE = "WITH changed AS (%s RETURNING 1) SELECT 1 / count(*) FROM changed"
WIRE = "wire"
"""Where a connection's `info` has its wire."""


class LostRace(Conflict):
    """A row has moved since this function read it; on PostgreSQL the function is run again, a few times."""

    tries: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as one database takes it."""

    sql: str
    name: bytes
    """What PostgreSQL keeps it under once it is prepared."""
    lost: str
    """Said where no row was changed; "" where that may be."""
    parameters: tuple[tuple[str, bool, Any, Convert], ...]
    """Name, whether it must be given, its value where it is not, and how it is stored, in the order of the SQL."""
    converted: tuple[tuple[int, Callable[[Any], Any]], ...]
    """The places whose values are stored in another form."""
    binary: tuple[bool, ...]
    """Which parameters are bytes."""
    columns: tuple[tuple[int, Callable[[Any], Any]], ...]
    """The places of a row whose values are read in another form."""
    row: Callable[..., Any]

    def bound(self, given: Mapping[str, Any]) -> list[Any]:
        """The parameters in order, as they are stored."""
        stored = [given[name] if must else given.get(name, default) for name, must, default, _ in self.parameters]
        for place, convert in self.converted:
            stored[place] = convert(stored[place])
        return stored

    def read(self, raw: Sequence[Any]) -> Any:
        """A row of the driver, with its columns by name."""
        if self.columns:
            raw = list(raw)
            for place, convert in self.columns:
                raw[place] = convert(raw[place])
        return self.row(*raw)


class Answer(Protocol):
    """What came of a statement, on whichever database."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Sequence[Any] | None: ...

    def fetchall(self) -> Sequence[Sequence[Any]]: ...


class Wire(Protocol):
    """A driver's connection that runs compiled statements, in transactions that it begins and ends itself."""

    def begin(self, *, writes: bool) -> None: ...

    def run(self, compiled: Compiled, given: Given) -> Answer: ...

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Undo what is open. Never fails: a connection of which nobody knows the state is cut."""

    def cut(self) -> bool:
        """Nothing can be run here any more. To be asked between transactions."""


class Statement:
    """A SELECT, INSERT or UPDATE over bound parameters. An INSERT without values takes every column of its table.

    `lost`: it must find the row that it changes, else LostRace is raised with this.
    """

    def __init__(self, clause: sa.Select[Any] | sa.Insert | sa.Update, lost: str = "") -> None:
        self.clause = clause
        self.lost = lost
        self._compiled: dict[str, Compiled] = {}

    def run(self, conn: sa.Connection, given: Given) -> Result:
        """Execute it, for one set of parameters or for each of several.

        Raises what SQLAlchemy would raise for the driver's errors; on PostgreSQL that may be when the result is
        asked for, or something else, or at the commit: until then nothing is sent.
        """
        compiled = self._compiled.get(conn.dialect.name) or self._compile(conn.dialect)
        wire: Wire = conn.info[WIRE]
        return Result(compiled, wire.run(compiled, given))

    def _compile(self, dialect: Dialect) -> Compiled:
        keys = [column.key for column in self.clause.table.c] if isinstance(self.clause, sa.Insert) else None
        kind: Any = type(dialect)
        writes = dialect if dialect.name == "sqlite" else kind(paramstyle="numeric_dollar")
        built: Any = self.clause.compile(dialect=writes, column_keys=keys)
        # PostgreSQL is to fail by itself: what follows in the same message, the commit too, is then not done.
        sql = _SURE % built if self.lost and dialect.name == "postgresql" else str(built)
        names = built.positiontup or []
        binds = [built.binds[name] for name in names]
        parameters = tuple(
            (name, bind.required, bind.value, _writer(bind.type, dialect))
            for name, bind in zip(names, binds, strict=True)
        )
        columns: Sequence[Any] = list(self.clause.exported_columns)  # of a SELECT, or of RETURNING
        readers = [_reader(column.type, dialect) for column in columns]
        self._compiled[dialect.name] = done = Compiled(
            sql=sql, name=b"soar_%d" % next(_NUMBER), lost=self.lost, parameters=parameters,
            converted=tuple((place, each[3]) for place, each in enumerate(parameters) if each[3] is not None),
            binary=tuple(isinstance(bind.type, sa.LargeBinary) for bind in binds),
            columns=tuple((place, read) for place, read in enumerate(readers) if read is not None),
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

    __slots__ = ("_answer", "_compiled")

    def __init__(self, compiled: Compiled, answer: Answer) -> None:
        self._compiled = compiled
        self._answer = answer

    @property
    def rowcount(self) -> int:
        return self._answer.rowcount

    def first(self) -> Any | None:
        """The first row, if there is one."""
        raw = self._answer.fetchone()
        return None if raw is None else self._compiled.read(raw)

    def all(self) -> list[Any]:
        """Every row."""
        return [self._compiled.read(raw) for raw in self._answer.fetchall()]


def _writer(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def failed(error: Any, sql: str, dialect: Dialect, raw: Any) -> sa.exc.StatementError:
    """What SQLAlchemy would raise for an error of the driver's connection."""
    base: Any = dialect.loaded_dbapi.Error
    cut = dialect.is_disconnect(error, raw, None)
    named: Any = sa.exc.DBAPIError.instance(
        sql, None, error, base, hide_parameters=True, dialect=dialect, connection_invalidated=cut
    )
    return named  # type: ignore[no-any-return]
