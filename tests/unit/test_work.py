"""Work rows when two act on one at the same moment: no wake is lost, and nothing is asked for a dead run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from soar.store import work
from soar.store.rows import WorkRow
from soar.store.session import Store, Tx
from soar.store.tables import work as table
from tests.unit.test_store import one_run, store

__all__ = ["store"]


def held_up(store: Store, function: Callable[[Tx], Any]) -> tuple[threading.Thread, threading.Event]:
    """Begin a write that has done its work and commits only when it is told to."""
    inside, go = threading.Event(), threading.Event()

    def write(tx: Tx) -> None:
        function(tx)
        inside.set()
        go.wait(5)

    thread = threading.Thread(target=lambda: store.write(write))
    thread.start()
    assert inside.wait(5)
    return thread, go


def claimed(store: Store) -> WorkRow:
    store.write(one_run)
    row = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert row is not None
    return row


def now(store: Store) -> Any:
    with store.read() as conn:
        return conn.execute(sa.select(table)).one()


def meanwhile(store: Store, first: Callable[[Tx], Any], second: Callable[[Tx], Any]) -> Any:
    """What the second write returns that comes while the first is being committed."""
    thread, go = held_up(store, first)
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(store.write, second)
        time.sleep(0.3)
        go.set()
        thread.join()
        return came.result(5)


def test_a_wake_reaches_a_row_that_is_just_being_parked(store: Store) -> None:
    row = claimed(store)
    assert meanwhile(store, lambda tx: work.park(tx, row), lambda tx: work.wake(tx, row.id)) is True
    assert now(store).state == "ready"


def test_a_row_cannot_park_past_a_wake_that_is_just_being_committed(store: Store) -> None:
    row = claimed(store)
    meanwhile(store, lambda tx: work.wake(tx, row.id), lambda tx: work.park(tx, row, {"asked": "bob"}))
    assert (now(store).state, now(store).notes) == ("ready", {"asked": "bob"})


def test_a_row_that_is_abandoned_while_it_is_parked_or_held_is_looked_at_again(store: Store) -> None:
    row = claimed(store)
    assert store.write(lambda tx: work.abandon(tx, "run", "look", 1)) == row.id
    assert now(store).state == "claimed"
    store.write(lambda tx: work.park(tx, row))
    assert (now(store).state, now(store).notes) == ("ready", {work.ABANDONED: True})
    again = store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert again is not None
    gone = meanwhile(store, lambda tx: work.park(tx, again), lambda tx: work.abandon(tx, "run", "look", 1))
    assert gone == row.id
    assert now(store).state == "ready"


def park_and_wake(tx: Tx, row: WorkRow) -> None:
    work.park(tx, row)
    work.wake(tx, row.id)


@pytest.mark.parametrize("end", [work.done, park_and_wake])
def test_nobody_is_woken_who_is_ready_or_done(store: Store, end: Callable[[Tx, WorkRow], Any]) -> None:
    row = claimed(store)
    store.write(lambda tx: end(tx, row))
    before = now(store)
    assert store.write(lambda tx: work.wake(tx, row.id)) is False
    assert store.write(lambda tx: work.wake(tx, "nobody")) is False
    assert now(store) == before
    if before.state == "done":
        assert store.write(lambda tx: work.abandon(tx, "run", "look", 1)) is None


def test_a_lost_worker_counts_against_its_row_and_an_absent_database_does_not(store: Store) -> None:
    claimed(store)
    assert store.write(lambda tx: work.let_go(tx, work.Owner("two"))) == 0
    assert store.write(lambda tx: work.let_go(tx, work.Owner("one"))) == 1
    assert (now(store).state, now(store).losses, now(store).fence) == ("ready", 0, 2)
    assert store.write(lambda tx: work.claim(tx, work.Owner("one")))
    assert store.write(work.reclaim) == 1
    assert (now(store).state, now(store).losses) == ("ready", 1)
