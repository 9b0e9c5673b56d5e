"""Limits in the database: rate and concurrency of a connected system, caps, canaries. On SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from soar.clock import SystemClock
from soar.engine import limits
from soar.engine.parts import Parts
from soar.guards.case import Case
from soar.guards.policy import AdapterLimit, Cap, Policy
from soar.ids import new_id
from soar.model import ENGINE, Entity, EntityKind, ScopeStatus, Severity
from soar.protocol import State
from soar.store import actions, incidents
from soar.store.rows import ActionRow
from soar.store.session import Store, Tx
from soar.store.tables import actions as action_table
from soar.store.tables import lines, runs, work
from soar.verbs import VERBS

SLOW = AdapterLimit(rate=0.001, burst=3)
HOUR = timedelta(hours=1)


class Desk:
    """A database with one incident, and rows as the engine would have left them."""

    def __init__(self, url: str) -> None:
        self.store = Store(url, SystemClock())
        self.incident = self.store.write(lambda tx: incidents.open_new(tx, "drill", Severity.HIGH, ENGINE, "drill"))

    def parts(self, **policy: Any) -> Parts:
        return Parts(
            store=self.store, adapters={}, custodian=None, policy=Policy(configured=True, **policy),  # type: ignore[arg-type]
            clock=self.store.clock,
        )  # fmt: skip

    def run(self, priority: int = 50, incident: str = "") -> str:
        run_id = new_id()

        def write(tx: Tx) -> None:
            tx.conn.execute(
                runs.insert().values(
                    id=run_id, incident_id=incident or self.incident, playbook_digest="d", playbook_slug="s",
                    status="running", state={}, inputs={}, why="", started_by="ann", automatic=False,
                    priority=priority, created_at=tx.now,
                )
            )  # fmt: skip

        self.store.write(write)
        return run_id

    def action(
        self, run: str, host: str = "ws-1", state: State = State.READY, ago: timedelta | None = None
    ) -> ActionRow:
        """An isolation of a host; `ago` is when it was called."""
        key = new_id()

        def write(tx: Tx) -> ActionRow:
            incident = tx.conn.execute(sa.select(runs.c.incident_id).where(runs.c.id == run)).scalar_one()
            tx.conn.execute(
                action_table.insert().values(
                    id=key, origin=f"run:{run}", step_path=key, command_index=0, target=f"host:{host}",
                    target_name=host, verb="isolate_host", generation=1, adapter="edr", params={"host": host},
                    repeat_class="B", digest="d", state=state.value, incident_id=incident, run_id=run, prior={},
                    handle={}, outputs={}, guards=[], lease_seconds=0, review_seconds=0, caller="x",
                    created_at=tx.now, called_at=None if ago is None else tx.now - ago,
                )
            )  # fmt: skip
            return actions.get(tx.conn, key)

        return self.store.write(write)

    def admit(self, action: ActionRow, parts: Parts) -> float:
        """Ask, and where it may go write the intent in the same commit."""

        def write(tx: Tx) -> float:
            seconds = limits.admit(tx, parts, action)
            if not seconds:
                called = action_table.update().where(action_table.c.id == action.id)
                tx.conn.execute(called.values(state=State.CALLING.value, called_at=tx.now))
            return seconds

        return self.store.write(write)

    def park(self, action: ActionRow) -> None:
        """The work that an action belongs to waits."""
        row = work.insert().values(
            id=new_id(), run_id=action.run_id, occurrence=action.step_path, attempt=action.generation, kind="action",
            step_id="s", branch="", state="parked", priority=0, created_at=action.created_at, notes={},
        )  # fmt: skip
        self.store.write(lambda tx: tx.conn.execute(row))

    def awake(self) -> set[str | None]:
        """The runs whose work is ready again."""
        with self.store.read() as conn:
            return set(conn.execute(sa.select(work.c.run_id).where(work.c.state == "ready")).scalars())

    def scope(self, host: str, *groups: str) -> Entity:
        entity = Entity(kind=EntityKind.HOST, id=host, name=host, source="lab", groups=groups)
        self.store.write(lambda tx: incidents.add_scope(tx, self.incident, entity, ScopeStatus.AFFECTED, tx.now))
        return entity

    def judged(self, action: ActionRow, policy: Policy, entity: Entity | None = None) -> tuple[bool, str]:
        """Whether the guards let it through, and why not."""
        known = entity or Entity(kind=EntityKind.HOST, id=action.target.id, name=action.target.id, source="lab")
        seen = frozenset({"connections"})

        def write(tx: Tx) -> tuple[bool, str]:
            case = Case(
                verb=VERBS[action.verb], target=action.target, now=tx.now, entity=known, collected=seen,
                automatic=False, action_digest="d",
            )  # fmt: skip
            verdict = limits.judged(tx.conn, case, action, policy, lock=True)
            if verdict.allowed:
                called = action_table.update().where(action_table.c.id == action.id)
                tx.conn.execute(called.values(state=State.CALLING.value, called_at=tx.now))
            return verdict.allowed, "; ".join(verdict.reasons)

        return self.store.write(write)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.store.close()


# --- rate and concurrency --------------------------------------------------------------------


def test_a_burst_goes_at_once_and_the_next_waits_for_a_token(desk: Desk) -> None:
    run, parts = desk.run(), desk.parts(limits={"edr": SLOW})
    waits = [desk.admit(desk.action(run), parts) for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert all(seconds == limits.LONGEST for seconds in waits[3:]), "a thousand seconds for a token: asked again in 30"


def test_an_adapter_without_limits_costs_no_query(desk: Desk) -> None:
    action, parts = desk.action(desk.run()), desk.parts(limits={"other": SLOW, "edr": AdapterLimit(burst=7)})

    class NoDatabase:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    assert limits.admit(NoDatabase(), parts, action) == 0.0  # type: ignore[arg-type]


def test_what_is_on_its_way_counts_and_what_has_ended_makes_room(desk: Desk) -> None:
    run, parts = desk.run(), desk.parts(limits={"edr": AdapterLimit(concurrency=2)})
    first, second, third = (desk.action(run, f"ws-{n}") for n in range(3))
    assert [desk.admit(each, parts) == 0.0 for each in (first, second, third)] == [True, True, False]
    ended = action_table.update().where(action_table.c.id == first.id).values(state=State.DONE.value)
    desk.store.write(lambda tx: tx.conn.execute(ended))
    assert desk.admit(third, parts) == 0.0


def test_a_repeat_does_not_stand_in_its_own_way(desk: Desk) -> None:
    stuck = desk.action(desk.run(), state=State.CALLING, ago=HOUR)
    assert desk.admit(stuck, desk.parts(limits={"edr": AdapterLimit(concurrency=1)})) == 0.0


def test_two_hundred_low_ones_in_line_do_not_starve_a_high_one(desk: Desk) -> None:
    parts = desk.parts(limits={"edr": AdapterLimit(rate=20, burst=1)})
    low, high = desk.run(10), desk.run(100)
    waiting = [desk.action(low, f"low-{n}") for n in range(40)]
    first = [desk.admit(each, parts) for each in waiting]
    assert first.count(0.0) <= 2
    assert max(first) > 1.0, "who stands far back comes back late, not every few milliseconds"
    urgent = desk.action(high, "dc")
    seconds = desk.admit(urgent, parts)
    assert seconds <= 2 / 20
    threading.Event().wait(seconds + 0.06)
    assert all(desk.admit(each, parts) > 0 for each in waiting[-5:]), "the token is kept for who stands before them"
    assert desk.admit(urgent, parts) == 0.0


def test_who_never_comes_back_holds_nobody_up_for_long(desk: Desk) -> None:
    parts = desk.parts(limits={"edr": AdapterLimit(concurrency=1)})
    busy = desk.action(desk.run(), "busy", State.CALLING, HOUR)
    gone, waiting = desk.action(desk.run(100), "gone"), desk.action(desk.run(10), "waiting")
    assert desk.admit(gone, parts) > 0
    ended = action_table.update().where(action_table.c.id == busy.id).values(state=State.DONE.value)
    desk.store.write(lambda tx: tx.conn.execute(ended))
    assert desk.admit(waiting, parts) > 0, "the place is kept for the urgent one"
    late = lines.update().where(lines.c.action_id == gone.id)
    desk.store.write(lambda tx: tx.conn.execute(late.values(back_at=tx.now - timedelta(minutes=2))))
    assert desk.admit(waiting, parts) == 0.0
    with desk.store.read() as conn:
        assert conn.execute(sa.select(lines)).all() == []


def test_a_call_that_is_back_wakes_whoever_is_next_in_line_once(desk: Desk) -> None:
    parts = desk.parts(limits={"edr": AdapterLimit(concurrency=1)})
    busy = desk.action(desk.run(), "busy", State.CALLING, HOUR)
    low, high = desk.action(desk.run(10), "low"), desk.action(desk.run(100), "high")
    for each in (low, high):
        desk.park(each)
        assert desk.admit(each, parts) > 0
    woken = []
    for _ in range(3):
        desk.store.write(lambda tx: limits.made_room(tx, parts, busy))
        woken.append(desk.awake())
    assert woken == [{high.run_id}, {low.run_id, high.run_id}, {low.run_id, high.run_id}]
    desk.store.write(lambda tx: limits.made_room(tx, desk.parts(limits={"edr": SLOW}), busy))


@pytest.mark.parametrize("limit", [AdapterLimit(concurrency=3), AdapterLimit(rate=0.001, burst=3)])
def test_many_at_once_do_not_go_over_the_limit(desk: Desk, limit: AdapterLimit) -> None:
    parts, run = desk.parts(limits={"edr": limit}), desk.run()
    rows = [desk.action(run, f"ws-{n}") for n in range(8)]
    went = _together([lambda row=row: desk.admit(row, parts) for row in rows])
    assert went.count(0.0) == 3


@given(
    st.builds(
        AdapterLimit, rate=st.none() | st.floats(0.001, 1e5), burst=st.integers(1, 50),
        concurrency=st.none() | st.integers(1, 50),
    ),
    st.floats(0, 50), st.integers(0, 100), st.integers(0, 2000),
)  # fmt: skip
def test_a_wait_is_bounded_grows_with_the_line_and_is_none_only_when_it_may_go(
    limit: AdapterLimit, tokens: float, busy: int, ahead: int
) -> None:
    seconds = limits.hold_up(limit, tokens=tokens, busy=busy, ahead=ahead)
    free = limit.concurrency is None or busy + ahead < limit.concurrency
    filled = limit.rate is None or tokens >= ahead + 1
    assert (seconds == 0.0) is (free and filled)
    assert seconds == 0.0 or limits.SHORTEST <= seconds <= limits.LONGEST
    assert seconds <= limits.hold_up(limit, tokens=tokens, busy=busy, ahead=ahead + 1)


# --- caps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "said"),
    [(Cap(per_run=2), "in this run"), (Cap(per_incident=2), "in this incident"), (Cap(per_hour=2), "in an hour")],
)
def test_a_cap_counts_targets_not_calls(desk: Desk, cap: Cap, said: str) -> None:
    policy, run = Policy(configured=True, caps={"isolate_host": cap}), desk.run()
    for _ in range(3):
        assert desk.judged(desk.action(run, "ws-1"), policy)[0], "the same host again is one target"
    assert desk.judged(desk.action(run, "ws-2"), policy)[0]
    allowed, why = desk.judged(desk.action(run, "ws-3"), policy)
    assert not allowed
    assert f"target 3 {said}, the cap is 2" in why


def test_each_cap_looks_exactly_as_far_as_it_says(desk: Desk) -> None:
    def policy(**cap: int) -> Policy:
        return Policy(configured=True, caps={"*": Cap(**cap)})

    old, other = desk.run(), desk.run()
    elsewhere = desk.store.write(lambda tx: incidents.open_new(tx, "b", Severity.LOW, ENGINE, "b"))
    desk.action(old, "ws-1", State.ACTIVE, 2 * HOUR)
    assert desk.judged(desk.action(other, "ws-2"), policy(per_run=1))[0], "another run"
    assert desk.judged(desk.action(desk.run(), "ws-2"), policy(per_hour=1))[0], "longer ago, and the same target"
    assert not desk.judged(desk.action(desk.run(), "ws-3"), policy(per_incident=2))[0]
    assert desk.judged(desk.action(desk.run(incident=elsewhere), "ws-3"), policy(per_incident=2))[0]
    assert not desk.judged(desk.action(desk.run(incident=elsewhere), "ws-4"), policy(per_hour=2))[0]


def test_eight_workers_at_once_do_not_isolate_more_than_the_cap(desk: Desk) -> None:
    policy = Policy(configured=True, caps={"isolate_host": Cap(per_hour=3)})
    rows = [desk.action(desk.run(), f"ws-{n}") for n in range(8)]
    assert [went for went, _ in _together([lambda row=row: desk.judged(row, policy) for row in rows])].count(True) == 3


def test_a_group_is_capped_by_its_size_and_a_person_is_asked_where_nobody_knows_it(desk: Desk) -> None:
    policy = Policy(
        configured=True, caps={"isolate_host": Cap(share_of_group=0.5)}, group_sizes={"domain controllers": 4}
    )
    hosts = [desk.scope(f"dc-{n}", "Domain Controllers") for n in range(3)]
    run = desk.run()
    desk.action(run, "ws-7", State.ACTIVE, HOUR / 2)
    desk.action(run, "dc-0", State.ACTIVE, 5 * HOUR)
    assert desk.judged(desk.action(run, "dc-1"), policy, hosts[1])[0], "two of four"
    allowed, why = desk.judged(desk.action(run, "dc-2"), policy, hosts[2])
    assert not allowed
    assert "75% of a group" in why
    nobody_knows = desk.scope("fin-1", "Finance")
    assert "nobody knows how large" in desk.judged(desk.action(run, "fin-1"), policy, nobody_knows)[1]
    assert desk.judged(desk.action(run, "lone"), policy)[0], "a host in no group has no share"


def test_without_a_cap_nothing_is_counted(desk: Desk) -> None:
    row = desk.action(desk.run())
    case = Case(verb=VERBS["isolate_host"], target=row.target, now=row.created_at)
    nowhere: Any = None
    assert limits.counts(nowhere, case, row, Policy(caps={"block_ip": Cap(per_run=1)})).run == 1
    undo = replace(case, direction="revert")
    assert limits.counts(nowhere, undo, row, Policy(caps={"isolate_host": Cap(per_run=1)})).run == 1


def _together(asks: list[Any]) -> list[Any]:
    """All at the same moment, each in a thread of its own; the answers in their order."""
    gate, answers = threading.Barrier(len(asks)), [None] * len(asks)

    def one(number: int) -> None:
        gate.wait()
        answers[number] = asks[number]()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
