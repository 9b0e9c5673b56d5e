"""Where tests stand between the store and its database: at each transaction's begin and end, and at each statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soar.store.postgres import PostgresWire
from soar.store.session import Store
from soar.store.sqlite import SqliteWire
from soar.store.statement import Compiled, Given


def kind(store: Store) -> Any:
    """The wires of this store's database."""
    return SqliteWire if store.embedded else PostgresWire


def at_begin(store: Store, do: Callable[[Any], object]) -> None:
    """Do this on the driver's connection, at the beginning of every transaction from here on."""
    wires = kind(store)
    honest = wires.begin

    def begin(wire: Any, *, writes: bool) -> None:
        honest(wire, writes=writes)
        if not store.embedded:
            wire.drain()
        if store.embedded or writes:
            do(wire._raw)

    wires.begin = begin


def at_commit(store: Store, do: Callable[[], object]) -> None:
    """Do this right before every commit from here on, when all is written."""
    wires = kind(store)
    honest = wires.commit

    def commit(wire: Any) -> None:
        if not store.embedded:
            wire.drain()
        do()
        honest(wire)

    wires.commit = commit


def listen(store: Store, to: Callable[[str, Any], object]) -> Callable[[], None]:
    """Tell of each compiled statement and its parameters; what is returned ends that."""
    wires = kind(store)
    honest = wires.run

    def run(wire: Any, compiled: Compiled, given: Given) -> Any:
        for each in given if isinstance(given, list) else [given]:
            to(compiled.sql, tuple(compiled.bound(each)))
        return honest(wire, compiled, given)

    def end() -> None:
        wires.run = honest

    wires.run = run
    return end
