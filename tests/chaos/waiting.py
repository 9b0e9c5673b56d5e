"""Very many runs that wait for an approval: one real one, copied by the database itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from soar.clock import SystemClock
from soar.store.session import Store, Tx
from soar.store.tables import actions, approvals, due, incidents, runs, scope, work
from tests import wires

_PLACE = re.compile(r"%\((\w+)\)s")
_HEAD = 8
"""So many of an id's first characters are another number in each copy."""


def copies(store: Store, run_id: str, number: int) -> None:
    """Copy everything that a parked run stands on, but for its events: so many new incidents, runs, timers."""

    def write(tx: Tx) -> None:
        found = list(_belongings(tx.conn, run_id))
        ids = {row.id for _, rows in found for row in rows}
        last = tx.conn.execute(sa.select(sa.func.max(incidents.c.number))).scalar_one()
        for table, rows in found:
            for row in rows:
                tx.conn.execute(_many(table, row, ids, number, last, postgres=tx.postgres))

    store.write(write)


def _belongings(conn: sa.Connection, run_id: str) -> Iterator[tuple[sa.Table, list[Any]]]:
    """The rows of one parked run, table by table, in the order in which they refer to each other."""
    run = conn.execute(sa.select(runs).where(runs.c.id == run_id)).one()
    asked = sa.select(approvals.c.id).where(approvals.c.run_id == run_id)
    for table, mine in (
        (incidents, incidents.c.id == run.incident_id), (scope, scope.c.incident_id == run.incident_id),
        (runs, runs.c.id == run_id), (work, work.c.run_id == run_id), (actions, actions.c.run_id == run_id),
        (approvals, approvals.c.run_id == run_id), (due, due.c.ref.in_(asked)),
    ):  # fmt: skip
        rows = list(conn.execute(sa.select(table).where(mine)).all())
        if not rows:
            raise LookupError(f"the parked run has nothing in {table.name}")
        yield table, rows


def _many(table: sa.Table, row: Any, ids: set[str], number: int, last: int, *, postgres: bool) -> sa.Insert:
    """INSERT ... SELECT of so many copies of a row; what is an id of the original gets another head."""
    if postgres:
        each: Any = sa.func.generate_series(1, number).column_valued("each")
        head: Any = sa.func.lpad(sa.func.to_hex(each), _HEAD, "0")
    else:
        counted = sa.select(sa.literal(1).label("each")).cte("counted", recursive=True)
        counted = counted.union_all(sa.select(counted.c.each + 1).where(counted.c.each < number))
        each = counted.c.each
        head = sa.func.printf(f"%0{_HEAD}x", each)

    def copied(column: sa.Column[Any], value: Any) -> Any:
        if column is incidents.c.number:
            return each + last
        if value is None:
            return sa.cast(sa.null(), column.type)
        if isinstance(value, str):
            for known in ids:
                before, found, after = value.partition(known)
                if found:
                    return sa.literal(before, sa.Text).concat(head).concat(sa.literal(known[_HEAD:] + after, sa.Text))
        return sa.literal(value, column.type)

    values = [copied(column, getattr(row, column.name)) for column in table.c]
    return table.insert().from_select([column.name for column in table.c], sa.select(*values))


def plans(url: str, ask: Callable[[Tx], Any]) -> list[str]:
    """How the database would answer each statement that `ask(tx)` makes: one text for each."""
    said: list[tuple[str, Any]] = []
    store = Store(url, SystemClock())

    def listen(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        said.append((statement, parameters))

    sa.event.listen(store.engine, "before_cursor_execute", listen)
    end = wires.listen(store, lambda statement, parameters: said.append((statement, parameters)))
    try:
        store.write(ask)
        end()
        asked = [each for each in said if each[0].lstrip().split()[0] in ("SELECT", "UPDATE")]
        with store.read() as conn:
            rows = [_explained(conn, statement, given, postgres=not store.embedded) for statement, given in asked]
    finally:
        store.close()
    return ["\n".join(str(row[-1]) for row in each) for each in rows]


def _explained(conn: sa.Connection, statement: str, given: Any, *, postgres: bool) -> list[Any]:
    """PostgreSQL is asked for the plan that it keeps for a prepared statement: that one knows no values."""
    if not postgres:
        return list(conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all())
    names = list(dict.fromkeys(_PLACE.findall(statement)))
    numbered = _PLACE.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return list(conn.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {numbered}").all())


def rate(begin: Callable[[], Any], count: Callable[[], int], steps: int, seconds: float = 60.0) -> float:
    """Steps a second from the first to the last of what `begin` starts; `count` says how many runs go on."""
    began = time.perf_counter()
    begin()
    while count():
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"{count()} runs go on after {seconds:.0f} s")
        time.sleep(0.005)
    return steps / (time.perf_counter() - began)
