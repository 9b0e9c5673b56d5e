"""What happens when two things happen at once, or something breaks in between: nothing is lost or claimed falsely."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from api.wiring import House
from soar.engine import approving, asking, closing, control, direct, effects, outcomes, running
from soar.errors import Conflict, NotSent, OutcomeUnknown, Unavailable
from soar.model import Entity, EntityKind, ScopeStatus
from soar.playbook.model import Approval, Soar, Variable, one_step
from soar.protocol import State
from soar.store import incidents, runs, tasks, work
from soar.store.tables import approvals, due, switches
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.test_holds import BAD, approve_next, block, do, incident, isolate, release, state

HOST = "ws-0160"


def status(house: House, run: str) -> str:
    with house.store.read() as conn:
        return str(runs.get(conn, run).status)


def register(house: House) -> list[dict[str, Any]]:
    with house.store.read() as conn:
        return effects.register(conn)


def wrap(house: House, name: str, around: Callable[..., Any]) -> None:
    """Put something around a method of the lab's adapter: `around(honest, call, *rest)`."""
    lab = house.parts.adapters["lab"]
    vars(lab)[name] = partial(around, getattr(lab, name))


def slow(verb: str, seconds: float) -> Callable[..., Any]:
    def around(honest: Any, call: Any, *rest: Any) -> Any:
        answer = honest(call, *rest)
        if call.verb == verb:
            time.sleep(seconds)
        return answer

    return around


def test_cancelling_in_the_middle_of_a_call_loses_no_containment(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    wrap(house, "apply", slow("isolate_host", 1.0))
    run = do(house, where, alice, isolate())
    assert until(lambda: estate.log(verb="isolate_host", method="apply", changed=True))
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "changed our minds"))
    assert status(house, run) == "cancelled"
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    assert [entry["target"] for entry in register(house)] == [f"host:{HOST}"]
    with house.store.read() as conn:
        assert [each["what"] for each in closing.undecided(conn, where)] == ["effect"]


def test_a_cancelled_run_asks_nobody_any_more(house: House, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    asks = Approval(any_of=("responder",), persons=1, within=3600, on_timeout="escalate")
    run = do(house, where, alice, replace(isolate(), approval=asks))

    def asked() -> Any:
        with house.store.read() as conn:
            return conn.execute(approvals.select().where(approvals.c.status == "open")).first()

    open_one = until(asked)
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "changed our minds"))
    assert asked() is None
    assert state(house, where, "isolate_host") is State.CANCELLED
    with pytest.raises(Conflict):
        house.store.write(lambda tx: approving.vote(tx, open_one.id, bob, "approve", "late", open_one.digest))


def test_what_was_released_at_the_console_is_contained_anew_not_claimed(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first, second = incident(house, alice), incident(house, alice)
    do(house, first, alice, isolate())
    assert until(lambda: state(house, first, "isolate_host") is State.ACTIVE)
    estate.act("release_host", f"host:{HOST}", key="console")
    do(house, second, alice, isolate())
    assert until(lambda: state(house, second, "isolate_host") is State.ACTIVE)
    assert len(estate.log(verb="isolate_host", method="apply", changed=True)) == 2
    for where in (first, second):
        release(house, where, alice)
        approve_next(house, bob)
        assert until(partial(is_reverted, house, where))
    assert register(house) == []


def is_reverted(house: House, where: str) -> bool:
    return state(house, where, "isolate_host") is State.REVERTED


def test_nobody_joins_what_is_just_being_released(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first, second = incident(house, alice), incident(house, alice)
    do(house, first, alice, isolate())
    assert until(lambda: state(house, first, "isolate_host") is State.ACTIVE)
    wrap(house, "revert", slow("release_host", 1.5))
    release(house, first, alice)
    approve_next(house, bob)
    assert until(lambda: state(house, first, "isolate_host") is State.REVERTING)
    do(house, second, alice, isolate())
    assert until(lambda: is_reverted(house, first))
    assert until(lambda: state(house, second, "isolate_host") is State.ACTIVE)
    assert len(estate.log(verb="isolate_host", method="apply", changed=True)) == 2


def test_two_incidents_that_isolate_one_host_at_once_share_one_effect(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    both = incident(house, alice), incident(house, alice)
    wrap(house, "apply", slow("isolate_host", 0.7))
    for where in both:
        do(house, where, alice, isolate())
    assert until(lambda: [state(house, where, "isolate_host") for where in both] == [State.ACTIVE, State.ACTIVE])
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    for where in both:
        release(house, where, alice)
        approve_next(house, bob)
        assert until(partial(is_reverted, house, where))
    assert len(estate.log(verb="release_host", changed=True)) == 1


def test_one_containment_is_released_once(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    release(house, where, alice)
    assert until(lambda: state(house, where, "release_host") is State.WAITING)
    with pytest.raises(Conflict, match="under way"):
        release(house, where, alice)
    approve_next(house, bob)
    assert until(lambda: is_reverted(house, where))
    assert len(estate.log(verb="release_host", method="revert")) == 1


def test_each_hold_has_its_own_lease_and_the_longest_one_counts(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    short, long = incident(house, alice), incident(house, alice)
    do(house, short, alice, block(lease=3))
    assert until(lambda: state(house, short, "block_ip", BAD.id) is State.ACTIVE)
    do(house, long, alice, block(lease=86400))
    assert until(lambda: state(house, long, "block_ip", BAD.id) is State.ACTIVE)
    assert until(lambda: state(house, short, "block_ip", BAD.id) is State.LIFTED)
    assert state(house, long, "block_ip", BAD.id) is State.ACTIVE
    assert not estate.log(verb="unblock_ip", changed=True)
    ends = register(house)[0]["expires_at"]
    assert (ends - house.store.clock.now()).total_seconds() > 86000


def test_a_lift_that_fails_is_tried_again_and_a_person_is_told(
    house: House, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LIFT_AGAIN", running.LIFT_AGAIN / 30)
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, block(lease=2))
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.ACTIVE)
    down = {"yes": True}

    def silent(honest: Any, call: Any) -> Any:
        if down["yes"]:
            raise NotSent("the firewall reboots")
        return honest(call)

    wrap(house, "inspect", silent)
    assert until(lambda: state(house, where, "unblock_ip", BAD.id) is State.FAILED)
    assert until(lambda: told(house, where)) == 1
    down["yes"] = False
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.LIFTED)


def told(house: House, where: str) -> int:
    with house.store.read() as conn:
        return len(tasks.find(conn, incident_id=where, kind="lift_failed"))


def test_a_kill_switch_thrown_between_two_tries_holds_the_second(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    sends: list[str] = []

    def flaky(_honest: Any, call: Any, *_rest: Any) -> Any:
        sends.append(call.key)
        time.sleep(0.7)
        raise NotSent("connect timed out")

    wrap(house, "apply", flaky)
    do(house, where, alice, isolate())
    assert until(lambda: sends)
    house.store.write(
        lambda tx: tx.conn.execute(switches.insert().values(name="*", set_by="alice", reason="d", set_at=tx.now))
    )
    assert until(lambda: state(house, where, "isolate_host") is State.REFUSED)
    assert len(sends) == 1


def test_what_takes_effect_too_late_stays_on_the_register_until_a_person_decides(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    object.__setattr__(house.parts, "verify_seconds", 0.5)
    estate.fault(verb="isolate_host", phase="apply", fault="accept_later", seconds=2.5)
    run = do(house, where, alice, isolate())
    assert until(lambda: status(house, run) == "failed")
    assert state(house, where, "isolate_host") is State.NOT_EFFECTIVE
    assert [(entry["verb"], entry["state"]) for entry in register(house)] == [("isolate_host", "not_effective")]
    with house.store.read() as conn:
        assert [each["what"] for each in closing.undecided(conn, where)] == ["action"]
    action = rows(house, where, "isolate_host")[HOST]
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "yes", "seen at the console"))
    assert state(house, where, "isolate_host") is State.ACTIVE
    assert [entry["state"] for entry in register(house)] == ["active"]


def test_an_answer_that_comes_while_the_worker_is_busy_is_not_lost(house: House, cast: Cast) -> None:
    """Two hosts: the first is in doubt, and resolved while the same step still works on the second."""
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    other = Entity(kind=EntityKind.HOST, id="ws-0147", name="ws-0147", source="lab:inventory")
    house.store.write(lambda tx: incidents.add_scope(tx, where, other, ScopeStatus.AFFECTED, tx.now))
    sent = threading.Event()

    def apply(honest: Any, call: Any, *rest: Any) -> Any:
        if call.target.id == HOST:
            sent.set()
            raise OutcomeUnknown("no answer")
        time.sleep(1.5)
        return honest(call, *rest)

    def inspect(honest: Any, call: Any) -> Any:
        if call.target.id == HOST and sent.is_set():
            raise NotSent("cannot ask")
        return honest(call)

    wrap(house, "apply", apply)
    wrap(house, "inspect", inspect)
    step = Soar(slug="cut", verb="isolate_host", for_each="$hosts", as_="h", with_={"host": "$h"}, review=3600)
    book = replace(one_step("cut", "cut", step), variables={"hosts": Variable(type="list")})
    both = {"hosts": [HOST, "ws-0147"]}
    run = house.store.write(lambda tx: running.start_run(tx, where, book, both, by=alice, why="d", automatic=False))
    assert until(lambda: state(house, where, "isolate_host") is State.IN_DOUBT)
    action = rows(house, where, "isolate_host")[HOST]
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "no", "looked at the console"))
    assert until(lambda: status(house, run) == "failed")
    assert state(house, where, "isolate_host", "ws-0147") is State.ACTIVE


def test_a_disk_that_is_full_for_a_moment_loses_no_outcome(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    wrap(house, "apply", slow("isolate_host", 0.4))
    honest = house.store.write
    failed = threading.Event()

    def full(function: Any) -> Any:
        if "worker" in threading.current_thread().name and not failed.is_set():
            failed.set()
            raise Unavailable("the disk is full")
        return honest(function)

    run = do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.CALLING)
    vars(house.store)["write"] = full
    assert until(failed.is_set)
    vars(house.store)["write"] = honest
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    assert until(lambda: status(house, run) == "succeeded")


def test_a_timer_that_breaks_holds_up_no_other(house: House) -> None:
    house.store.write(lambda tx: work.arm(tx, tx.now, "task", "there is no such task"))
    later = house.store.write(lambda tx: work.arm(tx, tx.now, "wake", "nor such work"))

    def fired() -> bool:
        with house.store.read() as conn:
            return bool(conn.execute(due.select().where(due.c.id == later, due.c.state == "fired")).first())

    assert until(fired)
    assert house.silent() == []


def test_words_of_a_vendor_that_cannot_be_stored_stop_nothing(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)

    def odd(honest: Any, call: Any, *rest: Any) -> Any:
        answer = honest(call, *rest)
        return replace(answer, summary="done \ud800\x00", outputs={"n": float("nan"), "o": object(), "s": {1}})

    wrap(house, "apply", odd)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    assert house.silent() == []


@one_database
def test_a_watch_that_could_not_look_is_no_proof(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    looks: list[str] = []

    def blind(honest: Any, call: Any, *rest: Any) -> Any:
        looks.append(call.key)
        if len(looks) <= 3:
            raise NotSent("the sensor is off")
        return honest(call, *rest)

    wrap(house, "apply", blind)
    run = do(house, where, alice, Soar(slug="watch", verb="watch", with_={"host": HOST}, for_=1))
    assert until(lambda: status(house, run) == "failed")


def test_a_members_stricter_approval_stands_beside_the_groups(house: House, estate: Estate, cast: Cast) -> None:
    from soar.playbook.yaml import yaml_form

    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    book = yaml_form.load("""
id: both
name: Two wishes
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
urgency: immediate
steps:
  - id: cut
    parallel:
      - - {id: tell, do: notify, with: {team: soc, text: hello}}
      - - id: one
          do: isolate_host
          with: {host: ws-0160}
          review: 1h
          approval: {any_of: [commander], persons: 2, within: 1h, on_timeout: deny}
    together: true
    approval: {any_of: [responder], persons: 1, within: 1h, on_timeout: deny}
""")
    house.store.write(lambda tx: running.start_run(tx, where, book, {}, by=alice, why="d", automatic=False))

    def wishes() -> list[tuple[int, list[str]]]:
        with house.store.read() as conn:
            return sorted((row.persons, list(row.any_of)) for row in conn.execute(approvals.select()))

    assert until(lambda: len(wishes()) == 2)
    assert wishes() == [(1, ["responder"]), (2, ["commander"])]
    with house.store.read() as conn:
        easy = conn.execute(approvals.select().where(approvals.c.persons == 1)).one()
    house.store.write(lambda tx: approving.vote(tx, easy.id, bob, "approve", "d", easy.digest))
    time.sleep(0.7)
    assert not estate.log(method="apply")


def test_a_direct_release_of_nothing_is_refused(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    action = rows(house, where, "isolate_host")[HOST]
    house.store.write(lambda tx: effects.dispose(tx, action.effect_id or "", "handed_over", "permanent rule", alice))
    assert register(house) == []
    run = house.store.write(lambda tx: direct.undo(tx, action.id, reason="mistaken", why="d", by=alice))
    assert until(lambda: status(house, run) == "failed")


def test_what_a_person_must_release_is_never_lifted_by_a_failed_run(house: House, estate: Estate, cast: Cast) -> None:
    """Only blocks are lifted again by themselves; an isolation whose release failed waits for a person."""
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    action = rows(house, where, "isolate_host")[HOST]
    step = Soar(slug="release", undo=(f"action:{action.id}",), reason="recovered")
    book = one_step("automatic-release", "Release", step)
    run = house.store.write(lambda tx: running.start_run(tx, where, book, {}, by=alice, why="d", automatic=True))
    assert until(lambda: status(house, run) == "failed")
    with house.store.read() as conn:
        kinds = {row.kind for row in conn.execute(due.select().where(due.c.state == "armed"))}
    assert "lease" not in kinds
    assert state(house, where, "isolate_host") is State.ACTIVE
    assert not estate.log(verb="release_host", method="revert")


def test_a_doubt_that_outlives_its_run_can_be_decided_but_not_repeated(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="hang_after", seconds=60)
    run = do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.CALLING)
    estate.fault(verb="isolate_host", phase="inspect", fault="error_500")
    assert until(lambda: state(house, where, "isolate_host") is State.IN_DOUBT)
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "enough"))
    action = rows(house, where, "isolate_host")[HOST]
    with pytest.raises(Conflict, match="run is over"):
        house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "repeat", "try again"))
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "yes", "seen at the console"))
    assert [entry["state"] for entry in register(house)] == ["active"]


def test_a_step_that_keeps_breaking_inside_us_leaves_what_it_sent_to_a_person(
    house: House, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:

    alice = cast.person("alice", "responder")
    where = incident(house, alice)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours, after the call")

    monkeypatch.setattr(outcomes, "verified", broken)
    monkeypatch.setattr(outcomes, "adopt", broken)
    run = do(house, where, alice, isolate())
    assert until(lambda: status(house, run) == "failed")
    assert state(house, where, "isolate_host") is State.IN_DOUBT
    assert [entry["state"] for entry in register(house)] == ["in_doubt"]
    monkeypatch.undo()
    action = rows(house, where, "isolate_host")[HOST]
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "yes", "seen at the console"))
    assert [entry["state"] for entry in register(house)] == ["active"]
    assert house.silent() == []
