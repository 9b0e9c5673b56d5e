"""Under the store: what is sent together, what a connection that was cut comes to, what a read leaves behind."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from soar.clock import SystemClock
from soar.errors import Conflict, Unavailable
from soar.store.session import Store, Tx
from soar.store.statement import WIRE, LostRace, Statement
from soar.store.tables import meta

ADD = Statement(meta.insert())
NAMES = Statement(sa.select(meta.c.name, meta.c.value).order_by(meta.c.name))
SET = Statement(
    meta.update().where(meta.c.name == sa.bindparam("which")).values(value=sa.bindparam("to")), lost="the row has moved"
)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url, SystemClock())
    yield opened
    opened.close()


@pytest.fixture
def served(postgres_url: str) -> Iterator[Store]:
    opened = Store(postgres_url, SystemClock())
    yield opened
    opened.close()


def kept(store: Store) -> dict[str, Any]:
    with store.read() as conn:
        return {row.name: row.value for row in NAMES.run(conn, {}).all()}


def test_all_that_a_commit_writes_goes_to_the_server_in_one_message(
    served: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soar.store.postgres import PostgresWire

    served.write(lambda tx: tx.run(ADD, {"name": "x", "value": 1}))
    messages: list[list[str]] = []
    honest = PostgresWire.drain

    def drain(wire: PostgresWire) -> None:
        messages.append([each.compiled.sql.split()[0] for each in wire._waiting])
        honest(wire)

    def write(tx: Tx) -> None:
        tx.run(SET, {"which": "x", "to": 2})
        tx.run(ADD, [{"name": f"many {number}", "value": number} for number in range(3)])

    monkeypatch.setattr(PostgresWire, "drain", drain)
    served.write(write)
    assert messages == [["BEGIN", "WITH", "INSERT", "COMMIT"]]
    assert kept(served) == {"x": 2, "many 0": 0, "many 1": 1, "many 2": 2}


def test_a_row_that_is_not_there_is_a_lost_race_and_nothing_of_its_function_is_kept(store: Store) -> None:
    """On PostgreSQL that is found with the commit, which is then none; what comes before and behind it goes with it."""
    turns = []

    def write(tx: Tx) -> None:
        turns.append(tx)
        tx.run(ADD, {"name": "before", "value": 1})
        tx.run(SET, {"which": "nobody", "to": 2})
        tx.run(ADD, {"name": "behind", "value": 1})

    with pytest.raises(LostRace, match="the row has moved"):
        store.write(write)
    assert len(turns) == (1 if store.embedded else LostRace.tries)
    assert kept(store) == {}
    store.write(lambda tx: tx.run(ADD, {"name": "next", "value": 1}))
    assert kept(store) == {"next": 1}


def test_what_the_database_refuses_at_the_commit_is_said_and_not_kept(store: Store) -> None:
    store.write(lambda tx: tx.run(ADD, {"name": "x", "value": 1}))

    def write(tx: Tx) -> None:
        tx.run(ADD, {"name": "before", "value": 1})
        tx.run(ADD, {"name": "x", "value": 2})

    with pytest.raises(Conflict, match="refuses"):
        store.write(write)
    assert kept(store) == {"x": 1}


def test_many_rows_at_once_are_all_there_with_their_own_values(store: Store) -> None:
    rows = [{"name": f"{number:02}", "value": {"is": [number]}} for number in range(41)]
    store.write(lambda tx: tx.run(ADD, rows))
    assert kept(store) == {row["name"]: row["value"] for row in rows}
    clause: Any = postgresql.insert(meta) if not store.embedded else sqlite.insert(meta)
    ignoring = Statement(clause.on_conflict_do_nothing())
    store.write(lambda tx: tx.run(ignoring, [*rows[:3], {"name": "new", "value": 1}]))
    assert len(kept(store)) == 42


def test_what_sqlalchemy_runs_stands_behind_what_waits(store: Store) -> None:
    def write(tx: Tx) -> Any:
        tx.run(ADD, {"name": "x", "value": 1})
        return tx.conn.execute(sa.select(meta.c.name)).scalars().all()

    assert store.write(write) == ["x"]


def test_a_server_that_ended_our_connections_meanwhile_is_not_noticed(served: Store) -> None:
    """The end of a connection can be read before anything is sent on it, so nothing was written twice or lost."""
    served.write(lambda tx: tx.run(ADD, {"name": "before", "value": 1}))
    assert kept(served) == {"before": 1}
    turned_out(served)
    served.write(lambda tx: tx.run(ADD, {"name": "after", "value": 1}))
    turned_out(served)
    assert kept(served) == {"before": 1, "after": 1}


def test_a_connection_that_is_cut_inside_a_write_is_unavailable_and_the_next_write_has_another(served: Store) -> None:
    turns = []

    def write(tx: Tx) -> None:
        turns.append(tx)
        tx.run(ADD, {"name": "x", "value": 1})
        assert len(NAMES.run(tx.peek, {}).all()) == 1
        turned_out(served)

    with pytest.raises(Unavailable):
        served.write(write)
    assert len(turns) == 1
    assert kept(served) == {}
    served.write(lambda tx: tx.run(ADD, {"name": "y", "value": 1}))
    assert kept(served) == {"y": 1}


@pytest.mark.parametrize("when", ["before_a_statement", "before_the_commit"])
def test_a_line_that_breaks_inside_a_write_is_unavailable_too(served: Store, when: str) -> None:
    """Without a word of the server's, as when it or the network dies."""

    def write(tx: Tx) -> None:
        tx.run(ADD, {"name": "x", "value": 1})
        assert len(NAMES.run(tx.peek, {}).all()) == 1
        broken(tx.peek)
        tx.run(ADD, {"name": "z", "value": 1})
        if when == "before_a_statement":
            tx.conn.execute(sa.select(meta.c.name)).all()

    with pytest.raises(Unavailable):
        served.write(write)
    assert kept(served) == {}
    with pytest.raises(Unavailable):
        kept_over_a_broken_line(served)
    served.write(lambda tx: tx.run(ADD, {"name": "y", "value": 1}))
    assert kept(served) == {"y": 1}


def kept_over_a_broken_line(served: Store) -> None:
    with served.read() as conn:
        broken(conn)
        NAMES.run(conn, {}).all()


def broken(conn: sa.Connection) -> None:
    raw: Any = conn.connection.dbapi_connection
    line = socket.socket(fileno=os.dup(raw.pgconn.socket))
    line.shutdown(socket.SHUT_RDWR)
    line.close()


def turned_out(served: Store) -> None:
    """Every other connection to this database is ended by the server, and has been told so."""
    other = sa.create_engine(served.url, isolation_level="AUTOCOMMIT")
    ours = "datname = current_database() and pid <> pg_backend_pid()"
    with other.connect() as conn:
        conn.execute(sa.text(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {ours}")).all()
    other.dispose()


def test_who_waits_for_a_row_lets_the_other_threads_go_on(served: Store) -> None:
    """The one that holds the lock needs the interpreter to let go of it."""
    served.write(lambda tx: tx.run(ADD, {"name": "x", "value": 0}))
    holds = threading.Event()

    def first(tx: Tx) -> None:
        assert tx.run(SET, {"which": "x", "to": 1}).rowcount == 1
        holds.set()
        for _ in range(20):
            threading.Event().wait(0.01)

    def second(tx: Tx) -> None:
        tx.run(SET, {"which": "x", "to": 2})

    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(served.write, first)
        assert holds.wait(5)
        pool.submit(served.write, second).result(5)
        leading.result(5)
    assert kept(served) == {"x": 2}


def test_a_read_that_is_over_holds_back_no_checkpoint(sqlite_url: str) -> None:
    store = Store(sqlite_url, SystemClock())
    store.write(lambda tx: tx.run(ADD, {"name": "x", "value": 1}))
    assert kept(store) == {"x": 1}
    store.write(lambda tx: tx.run(ADD, {"name": "y", "value": 1}))
    other = sa.create_engine(sqlite_url)
    with other.connect() as conn:
        busy, in_log, _ = conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    other.dispose()
    assert (busy, in_log) == (0, 0)
    assert kept(store) == {"x": 1, "y": 1}
    store.close()


def test_a_read_sees_one_moment(sqlite_url: str) -> None:
    store = Store(sqlite_url, SystemClock())
    with store.read() as conn:
        assert NAMES.run(conn, {}).all() == []
        store.write(lambda tx: tx.run(ADD, {"name": "x", "value": 1}))
        assert NAMES.run(conn, {}).all() == []
    assert kept(store) == {"x": 1}
    store.close()


def test_a_read_within_a_read_has_a_connection_of_its_own(store: Store) -> None:
    with store.read() as outer:
        with store.read() as inner:
            assert inner.info[WIRE] is not outer.info[WIRE]
        assert NAMES.run(outer, {}).all() == []
