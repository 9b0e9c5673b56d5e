"""Fills a database with a past: one real incident, copied many times by the database itself.

The incident is made by the product (an alert that came in, its run, its events), so the copies have
real sizes in every table. In each copy every id and every digest of the incident ends differently;
what is shared (playbooks, persons) stays shared. The copies' hashes do not verify: nobody asks them.
"""

from __future__ import annotations

import argparse
import re
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from api.wiring import House
from bench.figure import tell
from bench.house import open_house
from soar.engine.running import start_run
from soar.events import GENESIS
from soar.model import ENGINE, Alert, Entity, EntityKind, Mention, Observable, ScopeStatus, Severity
from soar.playbook.yaml import yaml_form
from soar.store import incidents
from soar.store.session import Tx
from soar.store.tables import alerts, approvals, metadata, runs, unsealed
from soar.store.tables import events as event_table

_TOKEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_TAIL = 8
_SHARED = {"playbooks", "persons", "roles", "keys", "meta", "checkpoints", "switches"}
_STREAMED = {"events", "event_values", "leaves"}
"""Tables that grow with events; the others grow with runs."""
_APPROVAL = """\
id: bench-parked
name: Waits for a person
variables: {target: {type: str}}
steps:
  - id: act
    do: revoke_consent
    with: {account: $target, app: mail-sync}
    approval: {any_of: [responder], persons: 1, within: 30d, on_timeout: escalate}
"""


def past(house: House) -> str:
    """One alert came in, was looked up, and is over; returns the incident's id."""
    name = str(uuid.uuid4())
    found = Alert(
        source="bench", source_alert_id=str(uuid.uuid4()), rule_id="rule-1", rule_name="Measured rule",
        title=f"Measured rule on {name}", severity=Severity.MEDIUM, occurred_at=datetime.now(UTC),
        raised_at=datetime.now(UTC), mentions=(Mention(kind="host", value=name, role="affected"),),
        observables=(Observable(type="domain-name", value=f"{name}.example"),),
        dedupe_key=uuid.uuid4().hex * 2, facts={"severity_id": 3, "title": f"Measured rule on {name}"},
    )  # fmt: skip
    answer = house.intake.receive("bench", str(uuid.uuid4()), name.encode(), [found], ENGINE)
    query = sa.select(sa.func.count()).select_from(runs).where(runs.c.status == "running")
    _until(house, lambda conn: not conn.execute(query).scalar_one())
    return str(answer["alerts"][0]["incident"])


def parked(house: House) -> str:
    """A run that waits for an approval; returns the incident's id."""
    incident = past(house)
    book = yaml_form.load(_APPROVAL.encode())
    name = str(uuid.uuid4())

    def begin(tx: Tx) -> None:
        account = Entity(kind=EntityKind.ACCOUNT, id=name, name=name, source="bench")
        incidents.add_scope(tx, incident, account, ScopeStatus.AFFECTED, tx.now)
        start_run(tx, incident, book, {"target": name}, by=ENGINE, why="waits", automatic=True)

    house.store.write(begin)
    asked = sa.select(sa.func.count()).select_from(approvals).where(approvals.c.status == "open")
    _until(house, lambda conn: bool(conn.execute(asked).scalar_one()))
    time.sleep(0.5)  # the worker lets go of the row after the approval stands
    return incident


def _until(house: House, seen: Any) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with house.store.read() as conn:
            if seen(conn):
                return
        time.sleep(0.02)
    raise TimeoutError("the incident to copy did not come about")


def belongings(conn: sa.Connection, incident: str) -> tuple[dict[str, list[Any]], list[str]]:
    """The rows of an incident in every table, and the ids and digests in them that are its own."""
    shared = {found for name in _SHARED & set(metadata.tables) for row in _rows(conn, name) for found in _in(row)}
    shared.add(GENESIS)
    tokens = {incident}
    rows: dict[str, list[Any]] = {}
    everything = {name: _rows(conn, name) for name in metadata.tables if name not in _SHARED}
    grew = True
    while grew:
        rows = {name: [row for row in each if tokens & _in(row)] for name, each in everything.items()}
        more = {found for each in rows.values() for row in each for found in _in(row)} - shared
        grew, tokens = not more <= tokens, tokens | more
    heads = {token[:-_TAIL] for token in tokens}
    if len(heads) != len(tokens):
        raise RuntimeError("two ids differ only in their tails; make the incident anew")
    return rows, sorted(tokens)


def _rows(conn: sa.Connection, name: str) -> list[Any]:
    return list(conn.execute(sa.select(metadata.tables[name])).all())


def _in(row: Iterable[Any]) -> set[str]:
    texts = (bytes(value).decode() if isinstance(value, bytes | memoryview) else str(value) for value in row)
    return {found for text in texts for found in _TOKEN.findall(text)}


def copy(conn: sa.Connection, incident: str, number: int, events: int) -> None:
    """Copy an incident so many times; its events until the database has about so many more."""
    lite = conn.dialect.name == "sqlite"
    rows, tokens = belongings(conn, incident)
    for table in metadata.sorted_tables:
        mine = rows.get(table.name, [])
        times = number
        if table.name in _STREAMED:
            times = min(number, max(1, events // max(1, len(rows["events"]))))
        tops = {
            column.name: int(conn.execute(sa.select(sa.func.max(column))).scalar() or 0)
            for column in table.c
            if isinstance(column.type, sa.Integer)
        }
        for place, row in enumerate(mine):
            values = [
                _numbered(tops[column.name] + place + 1, len(mine))
                if _counts(column)
                else _copied(column, getattr(row, column.key), tokens, lite)
                for column in table.c
            ]
            names = ", ".join(f'"{column.name}"' for column in table.c)
            keys = list(table.primary_key.columns)
            where = " AND ".join(f't."{key.name}" = :k{each}' for each, key in enumerate(keys))
            given = {f"k{each}": getattr(row, key.key) for each, key in enumerate(keys)}
            series = (
                f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {times}) SELECT n FROM s)"
                if lite else f"(SELECT generate_series(1, {times}) AS n)"
            )  # fmt: skip
            chosen = f'SELECT {", ".join(values)} FROM "{table.name}" t, {series} s WHERE {where}'
            conn.execute(sa.text(f'INSERT INTO "{table.name}" ({names}) {chosen}'), given)


def _counts(column: sa.Column[Any]) -> bool:
    """Whether a column numbers its rows: whole numbers, each once."""
    table = column.table
    alone = list(table.primary_key.columns) == [column] or any(
        isinstance(each, sa.UniqueConstraint) and list(each.columns) == [column] for each in table.constraints
    )
    return alone and isinstance(column.type, sa.Integer)


def _numbered(first: int, rows: int) -> str:
    """The SQL of a number that goes on without a gap: copies of so many rows each."""
    return f"{first} + (s.n - 1) * {rows}"


def _copied(column: sa.Column[Any], value: Any, tokens: list[str], lite: bool) -> str:
    """The SQL of one column's value in copy number `s.n`."""
    name = f't."{column.name}"'
    found = [token for token in tokens if value is not None and token in _text(value)]
    if not found:
        return name
    blob, document = isinstance(value, bytes | memoryview), isinstance(column.type, sa.JSON)
    text = f"CAST({name} AS TEXT)" if lite or document else (f"convert_from({name}, 'UTF8')" if blob else name)
    tail = f"printf('%0{_TAIL}x', s.n)" if lite else f"lpad(to_hex(s.n), {_TAIL}, '0')"
    for token in found:
        text = f"replace({text}, '{token}', '{token[:-_TAIL]}' || {tail})"
    if blob:
        return f"CAST({text} AS BLOB)" if lite else f"convert_to({text}, 'UTF8')"
    return f"CAST({text} AS JSON)" if document and not lite else text


def _text(value: Any) -> str:
    return bytes(value).decode() if isinstance(value, bytes | memoryview) else str(value)


def main() -> None:
    """Fill a database, and tell how many events and runs stand in it now."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--what", choices=("past", "parked"), default="past")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args()
    house = open_house(options.folder, options.url, 2)
    url = house.settings.url
    try:
        house.start()
        incident = past(house) if options.what == "past" else parked(house)
        ends = time.monotonic() + 20
        waiting = sa.select(sa.func.count()).select_from(unsealed)
        while time.monotonic() < ends:
            with house.store.read() as conn:
                if not conn.execute(waiting).scalar_one():
                    break
            time.sleep(0.1)
    finally:
        house.close()
    engine = sa.create_engine(url)
    began = time.perf_counter()
    with engine.connect() as conn:
        if conn.dialect.name == "sqlite":
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-200000"):
                conn.exec_driver_sql(f"PRAGMA {pragma}").close()
        copy(conn, incident, options.runs, options.events)
        conn.commit()
        counts: dict[str, Any] = {
            name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in (("events", event_table), ("runs", runs), ("alerts", alerts))
        }
        if conn.dialect.name == "sqlite":
            conn.commit()
            conn.exec_driver_sql("PRAGMA journal_mode=WAL").fetchone()
        else:
            conn.exec_driver_sql("ANALYZE")
            conn.commit()
    engine.dispose()
    tell(rate=time.perf_counter() - began, **counts)


if __name__ == "__main__":
    main()
