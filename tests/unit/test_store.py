"""The one way to the database: durable, fair, undone alone, append-only where it must be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.migrate import migrate
from soar.clock import SystemClock
from soar.errors import StaleFence, Unavailable
from soar.events import Kind, verify_stream
from soar.model import ENGINE, Severity
from soar.playbook.model import Soar, one_step
from soar.store import incidents, runs, streams, work
from soar.store.session import Store, Tx
from soar.store.tables import events, meta
from soar.store.tables import runs as run_table
from tests.stage import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'soar.db'}"
    migrate(url)
    opened = Store(url, SystemClock())
    yield opened
    opened.close()


def count(store: Store) -> int:
    with store.read() as conn:
        return int(conn.execute(sa.select(sa.func.count()).select_from(meta)).scalar_one())


def test_an_error_undoes_its_own_write_alone(store: Store) -> None:
    """Many writes share a commit; one that fails takes nothing else with it."""
    started = threading.Barrier(9)
    failed = []

    def client(number: int) -> None:
        started.wait()
        for turn in range(20):

            def write(tx: Tx, name: str = f"{number}-{turn}") -> None:
                tx.conn.execute(meta.insert().values(name=name, value=1))
                if number == 0:
                    raise ValueError(name)

            try:
                store.write(write)
            except ValueError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    for thread in threads:
        thread.join()
    assert len(failed) == 20
    assert count(store) == 7 * 20


def test_what_was_answered_is_durable_for_another_connection(store: Store, tmp_path: Path) -> None:
    store.write(lambda tx: tx.conn.execute(meta.insert().values(name="x", value=1)))
    other = Store(f"sqlite:///{tmp_path / 'soar.db'}", SystemClock())
    assert count(other) == 1
    other.close()


def test_a_bell_is_rung_only_after_the_commit(store: Store) -> None:
    rung: list[tuple[str, int]] = []

    class Bell:
        def ring(self, work_id: str = "") -> None:
            rung.append((work_id, count(store)))

    store.doorbell = Bell()

    def write(tx: Tx) -> None:
        tx.conn.execute(meta.insert().values(name="x", value=1))
        tx.ring("w")

    store.write(write)
    assert until(lambda: rung) == [("w", 1)]

    def fail(tx: Tx) -> None:
        tx.ring("lost")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(fail)
    store.write(lambda tx: None)
    assert len(rung) == 1


def test_events_can_be_neither_changed_nor_deleted(store: Store) -> None:
    store.write(lambda tx: streams.append(tx, "system", Kind.SYSTEM_STARTED, values={"who": "x"}))
    for statement in (events.update().values(kind="other"), events.delete()):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            store.write(partial(_execute, statement))
    with store.read() as conn:
        assert verify_stream("system", streams.bodies(conn, "system")) == []


def test_a_redacted_value_leaves_the_chain_whole(store: Store) -> None:
    store.write(lambda tx: streams.append(tx, "system", Kind.PERSON_ADDED, values={"name": "Jane Doe"}))
    store.write(lambda tx: tx.conn.execute(sa.text("delete from event_values")))
    with store.read() as conn:
        bodies = streams.bodies(conn, "system")
        assert b"Jane" not in bodies[0][0]
        assert verify_stream("system", bodies) == []


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(Unavailable):
        store.write(lambda tx: None)


def test_a_write_inside_a_write_is_a_mistake_not_a_deadlock(store: Store) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        store.write(lambda tx: store.write(lambda inner: None))


def _execute(statement: sa.Executable, tx: Tx) -> None:
    tx.conn.execute(statement)


def one_run(tx: Tx) -> str:
    """A run with one piece of ready work, without any conductor."""
    incident = incidents.open_new(tx, "t", Severity.LOW, ENGINE, "w")
    book = one_step("look", "Look", Soar(slug="look", verb="look_up", with_={"observable": "domain-name:x.example"}))
    runs.save_playbook(tx, book)
    tx.conn.execute(
        run_table.insert().values(
            id="run", incident_id=incident, playbook_digest=book.digest, playbook_slug="look", status="running",
            state={}, inputs={}, why="", started_by="x", automatic=True, priority=1, created_at=tx.now,
        )
    )  # fmt: skip
    return work.add(tx, "run", occurrence="look", attempt=1, kind="action", step_id="s", branch="", priority=1)


def test_a_worker_whose_claim_was_taken_over_cannot_write(store: Store) -> None:
    store.write(one_run)
    first = store.write(lambda tx: work.claim(tx, "one", "boot"))
    assert first is not None
    assert store.write(work.reclaim) == 1
    second = store.write(lambda tx: work.claim(tx, "two", "boot"))
    assert second is not None
    assert second.fence == first.fence + 1
    with pytest.raises(StaleFence):
        store.write(lambda tx: work.done(tx, first))
    store.write(lambda tx: work.done(tx, second))
    assert store.write(lambda tx: work.claim(tx, "three", "boot")) is None


def test_parked_work_costs_nothing_until_it_is_woken_once(store: Store) -> None:
    store.write(one_run)
    row = store.write(lambda tx: work.claim(tx, "one", "boot"))
    assert row is not None
    store.write(lambda tx: work.park(tx, row, {"asked": "bob"}))
    assert store.write(lambda tx: work.claim(tx, "one", "boot")) is None
    assert store.write(lambda tx: work.wake(tx, row.id)) is True
    assert store.write(lambda tx: work.wake(tx, row.id)) is False
    again = store.write(lambda tx: work.claim(tx, "one", "boot"))
    assert again is not None
    assert again.notes == {"asked": "bob"}
