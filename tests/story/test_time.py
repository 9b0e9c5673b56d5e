"""What stands is kept, looked at and ended on time: renewals, expiry, drift, and clocks that somebody turns."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from api.migrate import migrate
from api.wiring import House, build
from soar import clock
from soar.clock import SystemClock
from soar.config import Settings
from soar.engine import asking, closing, direct, drift, due, effects, expiry
from soar.engine.parts import Parts
from soar.errors import Conflict, Invalid
from soar.guards.policy import Freeze, Policy
from soar.protocol import State
from soar.store import actions, tasks, timers
from soar.store.rows import ActionRow
from soar.store.session import Store, Tx
from soar.store.tables import due as due_table
from soar.store.tables import events, holds, runs, switches
from tests import standing
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.test_holds import BAD, block, do, incident, isolate, state


def the(house: House, where: str, verb: str = "isolate_host", target: str = "ws-0160") -> ActionRow:
    return rows(house, where, verb)[target]


def said(store: Store, kind: str) -> list[dict[str, Any]]:
    """The data of all events of a kind."""
    with store.read() as conn:
        rows = conn.execute(sa.select(events.c.body).where(events.c.kind == kind).order_by(events.c.id)).scalars()
        return [json.loads(body)["data"] for body in rows]


def entry(house: House) -> dict[str, Any]:
    with house.store.read() as conn:
        return effects.register(conn)[0]


def open_tasks(house: House, where: str, kind: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, incident_id=where, kind=kind, status="open")


def isolated(house: House, cast: Cast, review: float = 3600) -> tuple[Any, str, ActionRow]:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate(review=review))
    assert until(lambda: state(house, where, "isolate_host") in (State.ACTIVE, State.OVERDUE))
    return alice, where, the(house, where)


def look(house: House) -> None:
    """Check the register now, and wait for the answers."""
    house.store.write(drift.ask_now)
    drift.check_due(house.parts)


# --- renewal ------------------------------------------------------------------------------------


def test_a_renewed_review_makes_an_overdue_hold_active_again_and_sends_nothing(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice, where, action = isolated(house, cast, review=1)
    assert until(lambda: state(house, where, "isolate_host") is State.OVERDUE)
    (task,) = open_tasks(house, where, "review")
    with pytest.raises(Invalid, match="renew"):
        house.store.write(lambda tx: asking.answer(tx, task.id, alice, {"decision": "keep"}))
    assert house.store.write(lambda tx: direct.renew(tx, action.id, seconds=3600, why="still needed", by=alice)) is None
    assert state(house, where, "isolate_host") is State.ACTIVE
    assert not open_tasks(house, where, "review")
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    (hold,) = entry(house)["holds"]
    assert (hold["overdue"], hold["generation"], entry(house)["generation"]) == (False, 2, 2)
    assert [each["generation"] for each in said(house.store, "hold.renewed")] == [2]


def test_a_renewed_block_gets_a_new_end_at_its_target_and_the_old_timer_is_dropped(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, block(lease=3))
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.ACTIVE)
    with house.store.read() as conn:
        first = actions.find(conn, incident_id=where, verbs=("block_ip",))[0]
        old = conn.execute(sa.select(due_table).where(due_table.c.kind == "lease")).one()
    run = house.store.write(lambda tx: direct.renew(tx, first.id, seconds=60, why="still bad", by=alice))
    assert run is not None
    assert until(lambda: said(house.store, "hold.renewed"))
    calls = estate.log(verb="block_ip", method="apply", changed=True)
    assert len(calls) == 2
    with house.store.read() as conn:
        first, again = actions.find(conn, incident_id=where, verbs=("block_ip",))
    assert (first.state, again.state, again.renews) == (State.ACTIVE, State.DONE, first.id)
    assert len(entry(house)["holds"]) == 1
    house.store.write(lambda tx: expiry.lease_over(house.parts, tx, old))
    time.sleep(max(0.0, (old.at - house.parts.clock.now()).total_seconds()) + 0.3)
    assert state_of(house, first.id) is State.ACTIVE
    assert not estate.log(verb="unblock_ip")
    house.store.write(lambda tx: direct.undo(tx, first.id, reason="superseded", why="enough"))
    assert until(lambda: state_of(house, first.id) is State.REVERTED)
    assert len(estate.log(verb="unblock_ip", changed=True)) == 1


def state_of(house: House, action_id: str) -> State:
    with house.store.read() as conn:
        return actions.get(conn, action_id).state


def test_what_has_ended_cannot_be_renewed(house: House, cast: Cast) -> None:
    alice, _, action = isolated(house, cast)
    effect = entry(house)["id"]
    house.store.write(lambda tx: closing.dispose(tx, effect, "handed_over", "CHG-7", alice))
    with pytest.raises(Conflict, match="nothing to renew"):
        house.store.write(lambda tx: direct.renew(tx, action.id, seconds=60, why="no", by=alice))


@one_database
def test_nobody_answers_a_review_so_the_on_call_is_told_and_one_question_stays_one(house: House, cast: Cast) -> None:
    _, where, _ = isolated(house, cast, review=1)
    assert until(lambda: len(said(house.store, "hold.escalated")) >= 2, 6)
    assert {each["to"] for each in said(house.store, "hold.escalated")} == {"on-call"}
    assert len(said(house.store, "hold.overdue")) == 1
    assert len(open_tasks(house, where, "review")) == 1


# --- drift --------------------------------------------------------------------------------------


def test_what_somebody_released_at_the_vendor_has_drifted_and_is_asked_about(
    house: House, estate: Estate, cast: Cast
) -> None:
    _, where, action = isolated(house, cast)
    estate.act("release_host", "host:ws-0160", key="somebody-else")
    look(house)
    look(house)
    assert state(house, where, "isolate_host") is State.DRIFTED
    assert entry(house)["state"] == "drifted"
    assert entry(house)["seen"]["stands"] is False
    assert len(said(house.store, "effect.drifted")) == 1
    assert len(open_tasks(house, where, "drift")) == 1
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    estate.act("isolate_host", "host:ws-0160", key=action.id)
    look(house)
    assert state(house, where, "isolate_host") is State.ACTIVE
    assert len(said(house.store, "effect.returned")) == 1
    assert not open_tasks(house, where, "drift")


@one_database
def test_a_target_that_cannot_be_asked_is_not_verified_since(house: House, estate: Estate, cast: Cast) -> None:
    isolated(house, cast)
    before = entry(house)["verified_at"]
    estate.fault(verb="isolate_host", phase="inspect", fault="error_500")
    look(house)
    now = entry(house)
    assert (now["state"], now["verified_at"]) == ("active", before)
    assert "cannot be asked" in now["trouble"]
    look(house)
    assert entry(house)["trouble"] is None
    assert entry(house)["verified_at"] > before


@one_database
def test_a_policy_brings_it_back_three_times_and_then_asks(settings: Settings, lab: Any, estate: Estate) -> None:
    guards = settings.guards.model_copy(update={"repair": {"isolate_host": True}})
    house = build(settings.model_copy(update={"guards": guards}))
    house.start()
    try:
        _, where, _ = isolated(house, Cast(house))
        for times in range(1, 4):
            estate.act("release_host", "host:ws-0160", key="somebody-else")
            look(house)
            assert until(lambda: state_of_first(house, where) is State.ACTIVE), times
            assert len(estate.log(verb="isolate_host", method="apply", changed=True)) == 1 + times
        estate.act("release_host", "host:ws-0160", key="somebody-else")
        look(house)
        assert not until(lambda: state_of_first(house, where) is State.ACTIVE, 1.0)
        assert len(open_tasks(house, where, "drift")) == 1
        assert entry(house)["repairs"] == drift.REPAIRS
    finally:
        house.close()


def state_of_first(house: House, where: str) -> State:
    with house.store.read() as conn:
        return actions.find(conn, incident_id=where, verbs=("isolate_host",))[0].state


# --- the end of time, without and with anybody there ----------------------------------------------


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """For what does not depend on the database."""
    url = f"sqlite:///{tmp_path / 'time.db'}"
    migrate(url)
    return url


@contextmanager
def node(url: str, policy: Policy | None = None) -> Iterator[Parts]:
    """A database without workers: whatever fires, nobody acts."""
    store = Store(url, SystemClock())
    yield Parts(
        store=store, adapters={}, custodian=cast("Any", None), policy=policy or Policy(), clock=store.clock
    )  # fmt: skip
    store.close()


def after_everybody_was_dead(parts: Parts, many: int) -> float:
    """Reviews and leases that all passed while nobody was there; then two pollers begin. Returns the seconds."""
    where = standing.opened(parts.store, 20)
    past = parts.store.clock.now() - timedelta(hours=1)

    def write(tx: Tx) -> None:
        for n in range(many):
            verb = "block_ip" if n % 10 == 0 else "isolate_host"
            standing.contained(tx, where[n % 20], f"203.0.113.{n}", past, verb)

    parts.store.write(write)
    began = time.monotonic()
    both = [threading.Thread(target=due.fire_due, args=(parts,)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    return time.monotonic() - began


def each_once(url: str, many: int) -> None:
    with node(url) as parts:
        seconds = after_everybody_was_dead(parts, many)
        with parts.store.read() as conn:
            lifted = Counter(
                conn.execute(sa.select(runs.c.why).where(runs.c.playbook_slug == "direct-release")).scalars()
            )
            asked = Counter(task.action_id for task in tasks.find(conn, kind="review"))
            standing_still = actions.find(conn, verbs=("isolate_host",), states=(State.OVERDUE,))
            undone = conn.execute(sa.select(sa.func.count()).where(runs.c.started_kind != "engine")).scalar_one()
        held = many - many // 10
        overdue = Counter(each["hold"] for each in said(parts.store, "hold.overdue"))
        assert (len(asked), set(asked.values())) == (held, {1})
        assert (len(overdue), set(overdue.values())) == (held, {1})
        assert len(standing_still) == held
        assert (sum(lifted.values()), undone) == (many // 10, 0)
        print(f"\nexpiries: {many} at once in {seconds:.1f} s; {held} holds stand, each asked about once")


def test_what_passed_while_everybody_was_dead_is_asked_about_once_and_no_hold_is_lifted(database_url: str) -> None:
    each_once(database_url, 200)


@pytest.mark.long
def test_a_thousand_expiries_while_everybody_was_dead(database_url: str) -> None:
    each_once(database_url, 1000)


NOW = datetime.now(UTC)
HELD = [
    ({"*"}, (), True),
    ({"adapter:lab"}, (), True),
    ({"verb:block_ip"}, (), True),
    ({"verb:unblock_ip"}, (), True),
    ({"adapter:other", "verb:notify"}, (), False),
    (set(), (Freeze(name="quarter end", start=NOW - timedelta(hours=1), end=NOW + timedelta(hours=1)),), True),
    (set(), (Freeze(name="over", start=NOW - timedelta(hours=2), end=NOW - timedelta(hours=1)),), False),
]


@pytest.mark.parametrize(("on", "freezes", "held"), HELD)
def test_kill_switch_and_freeze_hold_a_lift_back_and_show_it_overdue(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, on: set[str], freezes: tuple[Freeze, ...], held: bool
) -> None:
    monkeypatch.setattr(expiry, "HELD_RETRY", timedelta(seconds=-1))
    with node(sqlite_url, Policy(freezes=freezes)) as parts:
        (where,) = standing.opened(parts.store, 1)

        def write(tx: Tx) -> str:
            for name in on:
                tx.conn.execute(switches.insert().values(name=name, set_by="alice", reason="drill", set_at=tx.now))
            return standing.contained(tx, where, "203.0.113.66", tx.now - timedelta(minutes=1), "block_ip")[0]

        action = parts.store.write(write)
        for _ in range(2):
            parts.store.write(due._Taking(parts).fire)
        with parts.store.read() as conn:
            now = actions.get(conn, action).state
            begun = conn.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()
        assert (now, begun) == ((State.OVERDUE, 0) if held else (State.ACTIVE, 1))
        assert len(said(parts.store, "hold.overdue")) == int(held)
        parts.store.write(lambda tx: tx.conn.execute(switches.delete()))
        free = replace(parts, policy=Policy())
        parts.store.write(due._Taking(free).fire)
        with parts.store.read() as conn:
            assert conn.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one() == 1


def test_a_timer_that_breaks_holds_up_no_other(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with node(database_url) as parts:
        (where,) = standing.opened(parts.store, 1)
        real = expiry.review_over

        def breaks(tx: Tx, timer: Any) -> None:
            if tx.conn.execute(sa.select(holds.c.reason).where(holds.c.id == timer.ref)).scalar() == "broken":
                raise ValueError("broken")
            real(tx, timer)

        monkeypatch.setattr(expiry, "review_over", breaks)

        def write(tx: Tx) -> list[str]:
            made = [standing.contained(tx, where, f"ws-{n}", tx.now - timedelta(minutes=9 - n))[1] for n in range(3)]
            tx.conn.execute(holds.update().where(holds.c.id == made[0]).values(reason="broken"))
            return made

        made = parts.store.write(write)
        assert due.fire_due(parts) == 2
        assert {each["hold"] for each in said(parts.store, "hold.overdue")} == set(made[1:])
        with parts.store.read() as conn:
            at = timers.next_at(conn)
        assert at is not None
        assert at > parts.clock.now()


# --- clocks that somebody turns -------------------------------------------------------------------


class Wall(datetime):
    """A wall clock that somebody sets."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.ahead


JUMPS = {
    "a month ahead": [30 * 86400], "a month back": [-30 * 86400], "an hour ahead and back": [3600, -3600],
    "ten steps of ten seconds": [10] * 10,
}  # fmt: skip


@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_a_turned_clock_fires_nothing_early_and_loses_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, jumps: list[int]
) -> None:
    """Timers over a real poller; the wall clock jumps, and jumps are events. A long approval outlives them all."""
    Wall.ahead = timedelta()
    monkeypatch.setattr(clock, "datetime", Wall)
    with node(sqlite_url) as parts:
        start = parts.clock.now()
        (where,) = standing.opened(parts.store, 1)

        def write(tx: Tx) -> dict[str, datetime]:
            standing.approval(tx, where, start + timedelta(hours=1))
            return {
                standing.asked(tx, where, at): at
                for n in range(8)
                for at in [start + timedelta(seconds=0.15 * n + 0.1)]
            }

        wanted = parts.store.write(write)
        stop, bell = threading.Event(), threading.Event()
        poller = threading.Thread(target=due.poll, args=(parts, stop, bell))
        poller.start()
        for number, jump in enumerate(jumps, start=1):
            Wall.ahead += timedelta(seconds=jump)
            bell.set()
            assert until(partial(stepped, parts.store, number), 5)
        assert until(lambda: len(escalated(parts.store)) == len(wanted), 8)
        stop.set()
        bell.set()
        poller.join()
        late = [(at - wanted[task]).total_seconds() for task, at in escalated(parts.store)]
        assert min(late) > -1
        assert max(late) < 3
        assert len(escalated(parts.store)) == len(wanted)
        steps = [each["milliseconds"] / 1000 for each in said(parts.store, "system.clock_stepped")]
        assert steps == pytest.approx(jumps, abs=1)
        assert not [each for each in said(parts.store, "approval.asked") if each.get("escalation")]


def stepped(store: Store, times: int) -> bool:
    return len(said(store, "system.clock_stepped")) == times


def escalated(store: Store) -> list[tuple[str, datetime]]:
    with store.read() as conn:
        found = conn.execute(sa.select(events.c.body, events.c.at).where(events.c.kind == "task.opened")).all()
    told = [(json.loads(body)["data"], at) for body, at in found]
    return [(data["task"], at) for data, at in told if data.get("escalated")]
