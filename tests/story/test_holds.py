"""What stands because of us: two incidents on one host, reviews that never lift, blocks that end by themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from api.wiring import House
from soar.engine import approving, direct, effects, running
from soar.errors import Refused
from soar.model import Actor, Entity, EntityKind, Observable, ScopeStatus, Severity, Verdict
from soar.playbook.model import Soar, one_step
from soar.protocol import State
from soar.store import incidents, tasks
from soar.store.session import Tx
from soar.store.tables import approvals, switches
from tests.stage import Cast, Estate, rows, until

HOST = Entity(kind=EntityKind.HOST, id="ws-0160", name="ws-0160", source="lab:inventory")
BAD = Observable(type="ipv4-addr", value="203.0.113.66", verdict=Verdict.MALICIOUS, confidence=95)


def incident(house: House, by: Actor) -> str:
    """An incident about one host and one malicious address."""

    def write(tx: Tx) -> str:
        made = incidents.open_new(tx, "drill", Severity.HIGH, by, "drill")
        incidents.add_scope(tx, made, HOST, ScopeStatus.AFFECTED, tx.now)
        incidents.add_observable(tx, made, BAD)
        incidents.judge_observable(tx, made, BAD.id, BAD.verdict, BAD.confidence, "drill")
        return made

    return house.store.write(write)


def do(house: House, where: str, by: Actor, step: Soar) -> str:
    """Let a person do one thing, as a playbook of one step."""
    book = one_step(step.slug, step.slug, step)
    return house.store.write(lambda tx: running.start_run(tx, where, book, {}, by=by, why="drill", automatic=False))


def isolate(review: float = 3600) -> Soar:
    return Soar(slug="isolate", verb="isolate_host", with_={"host": "ws-0160"}, review=review)


def state(house: House, where: str, verb: str, target: str = "ws-0160") -> State | None:
    found = rows(house, where, verb).get(target)
    return found.state if found else None


def is_active(house: House, where: str) -> bool:
    return state(house, where, "isolate_host") is State.ACTIVE


def approve_next(house: House, by: Actor) -> None:
    def look() -> Any:
        with house.store.read() as conn:
            return conn.execute(approvals.select().where(approvals.c.status == "open")).first()

    asked = until(look)
    house.store.write(lambda tx: approving.vote(tx, asked.id, by, "approve", "drill", asked.digest))


def release(
    house: House, where: str, by: Actor, reason: str = "mistaken", held: tuple[str, str] = ("isolate_host", "ws-0160")
) -> None:
    verb, target = held
    stands = rows(house, where, verb)[target]
    house.store.write(lambda tx: direct.undo(tx, stands.id, reason=reason, why="drill", by=by))


def test_two_incidents_hold_one_host_and_the_last_one_to_let_go_releases_it(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first, second = incident(house, alice), incident(house, alice)
    for where in (first, second):
        do(house, where, alice, isolate())
        assert until(partial(is_active, house, where))
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    with house.store.read() as conn:
        assert [len(entry["holds"]) for entry in effects.register(conn)] == [2]

    release(house, first, alice)
    approve_next(house, bob)
    assert until(lambda: state(house, first, "isolate_host") is State.REVERTED)
    assert not estate.log(verb="release_host", changed=True)

    release(house, second, alice)
    approve_next(house, bob)
    assert until(lambda: state(house, second, "isolate_host") is State.REVERTED)
    assert len(estate.log(verb="release_host", changed=True)) == 1
    with house.store.read() as conn:
        assert effects.register(conn) == []


def test_what_others_did_before_us_is_satisfied_and_never_ours_to_undo(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.act("isolate_host", "host:ws-0160", key="somebody-else")
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.SATISFIED)
    with house.store.read() as conn:
        assert effects.register(conn) == []


def test_a_host_is_not_released_before_it_is_proven_clean(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    with pytest.raises(Refused, match="run verify_clean"):
        release(house, where, alice, reason="recovered")


def test_a_network_is_let_go_when_the_affected_host_in_it_is_proven_clean(house: House, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where, held = incident(house, alice), ("segment_network", "10.20.1.0/24")
    do(house, where, alice, Soar(slug="cut", verb="segment_network", with_={"network": "10.20.1.0/24"}, review=3600))
    assert until(lambda: state(house, where, *held) is State.ACTIVE)
    with pytest.raises(Refused, match="host:ws-0160 has no clean check"):
        release(house, where, alice, "recovered", held)
    do(house, where, alice, Soar(slug="look", verb="verify_clean", with_={"host": "ws-0160"}))
    assert until(lambda: state(house, where, "verify_clean") is State.DONE)
    release(house, where, alice, "recovered", held)
    approve_next(house, bob)
    assert until(lambda: state(house, where, *held) is State.REVERTED)


def test_a_review_that_passes_makes_a_hold_overdue_asks_once_and_lifts_nothing(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate(review=1))
    assert until(lambda: state(house, where, "isolate_host") is State.OVERDUE)
    with house.store.read() as conn:
        asked = tasks.find(conn, incident_id=where, kind="review")
    assert len(asked) == 1
    assert not estate.log(verb="release_host")


def block(lease: float) -> Soar:
    return Soar(slug="block", verb="block_indicators", with_={"from": "incident"}, lease=lease)


def test_a_block_ends_by_itself_when_its_lease_is_over(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, block(lease=2))
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.ACTIVE)
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.LIFTED)
    with house.store.read() as conn:
        assert effects.register(conn) == []


def test_a_kill_switch_freezes_sends_and_lifts(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, block(lease=2))
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.ACTIVE)
    house.store.write(
        lambda tx: tx.conn.execute(switches.insert().values(name="*", set_by="alice", reason="drill", set_at=tx.now))
    )
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.REFUSED)
    standing = (State.ACTIVE, State.OVERDUE)
    assert not until(lambda: state(house, where, "block_ip", BAD.id) not in standing, 3.0)
    assert state(house, where, "block_ip", BAD.id) is State.OVERDUE
    assert not estate.log(verb="isolate_host", method="apply")
