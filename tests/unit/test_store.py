"""The one way to the database: durable, fair, undone alone, append-only where it must be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from api.bells import Bells, work_forever
from soar.clock import SystemClock
from soar.errors import Conflict, StaleFence, Unavailable
from soar.events import Kind, verify_stream
from soar.model import ENGINE, Severity
from soar.playbook.model import Soar, one_step
from soar.store import incidents, runs, streams, work
from soar.store.kept import Kept
from soar.store.session import Store, Tx
from soar.store.statement import LostRace
from soar.store.tables import events, meta
from soar.store.tables import runs as run_table
from tests.stage import until


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url, SystemClock())
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


def test_what_was_answered_is_durable_for_another_connection(store: Store, database_url: str) -> None:
    store.write(lambda tx: tx.conn.execute(meta.insert().values(name="x", value=1)))
    other = Store(database_url, SystemClock())
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
        with pytest.raises(Conflict, match="append-only"):
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


def test_events_said_at_once_follow_one_another_without_a_gap(store: Store) -> None:
    """Eight writers in one stream: each event is chained to the one before it, and none is lost."""

    def client(_: int) -> None:
        for _turn in range(10):
            store.write(lambda tx: streams.append(tx, "system", Kind.PERSON_ADDED, values={"name": "Jane Doe"}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    with store.read() as conn:
        assert [event.seq for event in streams.read(conn, "system")] == list(range(80))
        assert streams.verify(conn, "system") == (80, [])


def test_each_piece_of_work_is_claimed_by_one_worker_alone(store: Store) -> None:
    def add(tx: Tx) -> None:
        one_run(tx)
        for turn in range(39):
            work.add(tx, "run", occurrence=f"look-{turn}", attempt=1, kind="action", step_id="s", branch="", priority=1)

    def worker(name: str) -> list[str]:
        claimed: list[str] = []
        while row := store.write(lambda tx: work.claim(tx, work.Owner(name))):
            claimed.append(row.id)
        return claimed

    store.write(add)
    with ThreadPoolExecutor(8) as pool:
        claimed = [each for part in pool.map(worker, "abcdefgh") for each in part]
    assert len(claimed) == len(set(claimed)) == 40


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
    made = work.add(tx, "run", occurrence="look", attempt=1, kind="action", step_id="s", branch="", priority=1)
    assert made is not None
    return made.id


def test_a_worker_whose_claim_was_taken_over_cannot_write(store: Store) -> None:
    store.write(one_run)
    first = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert first is not None
    assert store.write(work.reclaim) == 1
    second = store.write(lambda tx: work.claim(tx, work.Owner("two")))
    assert second is not None
    assert second.fence > first.fence
    with pytest.raises(StaleFence):
        store.write(lambda tx: work.check_fence(tx, first))
    store.write(lambda tx: work.done(tx, second))
    assert store.write(lambda tx: work.claim(tx, work.Owner("three"))) is None


def test_parked_work_costs_nothing_until_it_is_woken_once(store: Store) -> None:
    store.write(one_run)
    row = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert row is not None
    store.write(lambda tx: work.park(tx, row, {"asked": "bob"}))
    assert store.write(lambda tx: work.claim(tx, work.Owner("one"))) is None
    assert store.write(lambda tx: work.wake(tx, row.id)) is True
    assert store.write(lambda tx: work.wake(tx, row.id)) is False
    again = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert again is not None
    assert again.notes == {"asked": "bob"}


def test_an_interrupt_is_the_leaders_alone_and_nobody_it_wrote_for_waits_for_ever(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sqlite_url, SystemClock())
    honest, came = store._commit, {}

    def interrupted(_: Any) -> None:
        monkeypatch.setattr(store, "_commit", honest)
        raise KeyboardInterrupt

    def client(name: str) -> None:
        try:
            store.write(lambda tx: tx.conn.execute(meta.insert().values(name=name, value=1)))
            came[name] = "written"
        except (Unavailable, KeyboardInterrupt) as error:
            came[name] = type(error).__name__

    monkeypatch.setattr(store, "_commit", interrupted)
    threads = [threading.Thread(target=client, args=(name,), daemon=True) for name in "abc"]
    with store._lead:
        for thread in threads:
            thread.start()
        assert until(lambda: len(store._waiting) == 3)
    for thread in threads:
        thread.join(5)
    assert sorted(came.values()) == ["KeyboardInterrupt", "Unavailable", "Unavailable"]
    client("later")
    assert came["later"] == "written"
    assert count(store) == 1
    store.close()


def test_an_interrupt_inside_a_shared_write_keeps_nothing_of_it(sqlite_url: str) -> None:
    store = Store(sqlite_url, SystemClock())

    def interrupted(tx: Tx) -> None:
        tx.conn.execute(meta.insert().values(name="x", value=1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(interrupted)
    assert count(store) == 0
    store.write(lambda tx: tx.conn.execute(meta.insert().values(name="x", value=1)))
    assert count(store) == 1
    store.close()


def test_a_store_without_a_free_connection_is_said_as_unavailable_and_ends_no_worker(postgres_url: str) -> None:
    store = Store(postgres_url, SystemClock())
    store._kept = Kept(store.engine, most=1, patience=0.1)
    turns = threading.Semaphore(0)

    class Worker:
        owner = work.Owner("w")

        def work_once(self) -> bool:
            turns.release()
            return bool(store.write(lambda tx: None))

    bells, stop = Bells(), threading.Event()
    with store._kept.lend(writes=False):
        with pytest.raises(Unavailable, match="cannot be written"):
            store.write(lambda tx: None)
        with pytest.raises(Unavailable, match="cannot be read"):
            count(store)
        thread = threading.Thread(target=work_forever, args=(Worker(), bells, stop))
        thread.start()
        assert turns.acquire(timeout=5)
    bells.ring("again")
    assert turns.acquire(timeout=5)
    stop.set()
    bells.wake_all()
    thread.join(5)
    store.close()


def test_a_fault_of_the_function_itself_is_not_called_an_absent_database(store: Store) -> None:
    with pytest.raises(sa.exc.NoResultFound):
        store.write(lambda tx: tx.conn.execute(sa.select(meta.c.name).where(meta.c.name == "nobody")).one())
    with pytest.raises(sa.exc.NoResultFound), store.read() as conn:
        conn.execute(sa.select(meta.c.name).where(meta.c.name == "nobody")).one()


def test_nobody_opens_a_connection_after_the_store_was_closed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    sa.event.listen(store.engine, "connect", lambda raw, _: opened.append(raw))
    passed = store._refuse_when_closed

    def closes_meanwhile(*_: Any) -> None:
        passed()
        monkeypatch.undo()
        store.close()

    monkeypatch.setattr(store, "_refuse_when_closed", closes_meanwhile)
    with pytest.raises(Unavailable, match="closed"):
        store.write(lambda tx: None)
    with pytest.raises(Unavailable, match="closed"):
        count(store)
    assert not opened


def test_a_function_whose_row_has_moved_meanwhile_is_run_again_on_what_is_so_now(postgres_url: str) -> None:
    """A few times; one that keeps what it has read from before gets its Conflict."""
    store, turns = Store(postgres_url, SystemClock()), []

    def write(tx: Tx) -> int:
        turns.append(tx)
        if len(turns) < 3:
            raise LostRace("moved")
        return len(turns)

    assert store.write(write) == 3

    def stubborn(tx: Tx) -> None:
        turns.append(tx)
        raise LostRace("moved")

    turns.clear()
    with pytest.raises(Conflict, match="moved"):
        store.write(stubborn)
    assert len(turns) == LostRace.tries
    store.close()
