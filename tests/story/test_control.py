"""What persons do to a run on its way: pause, resume, try again, pass over, cancel, stop the house, change the book."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.wiring import House, build
from soar.config import CapSettings, Settings
from soar.engine import approving, asking, control, running
from soar.engine import closing as deciding
from soar.engine.signals import TimerFired
from soar.errors import Conflict, NotFound, OutcomeUnknown, Rejected
from soar.model import ENGINE, Actor
from soar.playbook.model import Playbook
from soar.playbook.yaml.yaml_form import load
from soar.protocol import UNSETTLED, State
from soar.store import actions, incidents, people, runs, streams, tasks
from soar.store.session import Tx
from soar.store.tables import approvals
from tests.stage import Cast, Estate, living, one_database, rows, until
from tests.story.test_holds import BAD, approve_next, incident, state
from tests.story.test_races import slow, status, wrap

TELL = "do: notify, with: {team: on-call, text: Host is cut off}"
CUT = "do: isolate_host, with: {host: ws-0160}, review: 1d"
ASKED = "approval: {any_of: [responder], within: 1h, on_timeout: escalate}"
QUIET = 0.6
"""Seconds in which a worker that may send would have sent."""


def book(*steps: str) -> Playbook:
    lines = "".join(f"  - {{{step}}}\n" for step in steps)
    return load(f"id: drill\nname: Drill\nsteps:\n{lines}")


def begin(house: House, where: str, by: Actor, playbook: Playbook) -> str:
    return house.store.write(
        lambda tx: running.start_run(tx, where, playbook, {}, by=by, why="drill", automatic=False)
    )  # fmt: skip


def steps(house: House, run: str) -> dict[str, tuple[str, int]]:
    """Status and attempt of each step that the run has come to."""
    with house.store.read() as conn:
        found = runs.get(conn, run).state["steps"]
    return {each["id"]: (each.get("status", "pending"), each.get("attempt", 1)) for each in found}


def told(house: House, where: str, kind: str) -> list[Any]:
    with house.store.read() as conn:
        return [each for each in streams.read(conn, streams.incident_stream(where)) if each.kind == kind]


def asked(house: House) -> Any:
    with house.store.read() as conn:
        return conn.execute(approvals.select().where(approvals.c.status == "open")).first()


def pause(house: House, run: str, by: Actor) -> None:
    house.store.write(lambda tx: control.pause_run(tx, run, by, "wait for the night shift"))


def resume(house: House, run: str, by: Actor) -> None:
    house.store.write(lambda tx: control.resume_run(tx, run, by, "they are here"))


def retry(house: House, run: str, by: Actor, occurrence: str = "") -> None:
    house.store.write(lambda tx: control.retry_run(tx, run, by, "it is mended", occurrence))


def skip(house: House, run: str, by: Actor, occurrence: str) -> None:
    house.store.write(lambda tx: control.skip_step(tx, run, occurrence, by, "not needed"))


def test_a_vote_counts_while_the_run_is_paused_and_nothing_is_sent_before_it_is_resumed(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    run = begin(house, where, alice, book(f"id: cut, {CUT}, {ASKED}", f"id: tell, {TELL}"))
    assert until(lambda: asked(house))
    pause(house, run, alice)
    approve_next(house, bob)
    time.sleep(QUIET)
    assert status(house, run) == "paused"
    assert not estate.log(verb="isolate_host", method="apply")
    with house.store.read() as conn:
        assert "run" in [each["what"] for each in deciding.undecided(conn, where)]
    resume(house, run, bob)
    assert until(lambda: status(house, run) == "succeeded")
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    assert [each.actor for each in told(house, where, "run.paused")] == [f"person:{alice.id}"]
    assert [each.values["why"] for each in told(house, where, "run.resumed")] == ["they are here"]


def test_what_was_sent_when_the_run_was_paused_comes_to_its_outcome_and_the_next_step_is_held(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    wrap(house, "apply", slow("isolate_host", 0.5))
    run = begin(house, where, alice, book(f"id: cut, {CUT}", f"id: tell, {TELL}"))
    assert until(lambda: state(house, where, "isolate_host") is State.CALLING)
    pause(house, run, alice)
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    assert until(lambda: steps(house, run).get("tell") == ("running", 1))
    time.sleep(QUIET)
    assert not estate.log(verb="notify", method="apply")
    resume(house, run, alice)
    assert until(lambda: status(house, run) == "succeeded")
    assert len(estate.log(verb="notify", method="apply")) == 1


@one_database
def test_pausing_and_resuming_say_what_they_cannot_do(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    run = begin(house, where, alice, book(f"id: cut, {CUT}, {ASKED}"))
    with pytest.raises(Conflict, match="running, not paused"):
        resume(house, run, alice)
    with pytest.raises(Conflict, match="only a failed run"):
        retry(house, run, alice)
    pause(house, run, alice)
    with pytest.raises(Conflict, match="paused already"):
        pause(house, run, alice)
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "enough"))
    assert status(house, run) == "cancelled"
    for refused in (pause, resume, retry, partial(skip, occurrence="cut")):
        with pytest.raises(Conflict, match="cancelled"):
            refused(house, run, alice)
    assert until(lambda: asked(house) is None)


def test_a_failed_run_goes_on_from_the_step_that_failed_and_does_not_repeat_what_succeeded(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    down = {"yes": True}

    def apply(honest: Any, call: Any, *rest: Any) -> Any:
        if call.verb == "isolate_host" and down["yes"]:
            raise Rejected("no licence")
        return honest(call, *rest)

    wrap(house, "apply", apply)
    run = begin(house, where, alice, book(f"id: first, {TELL}", f"id: cut, {CUT}", f"id: then, {TELL}"))
    assert until(lambda: status(house, run) == "failed")
    with pytest.raises(Conflict, match="possible: cut"):
        retry(house, run, alice, "first")
    retry(house, run, alice)
    assert until(lambda: status(house, run) == "failed")
    down["yes"] = False
    retry(house, run, alice, "cut")
    assert until(lambda: status(house, run) == "succeeded")
    assert steps(house, run) == {"first": ("succeeded", 1), "cut": ("succeeded", 3), "then": ("succeeded", 1)}
    assert len(estate.log(verb="notify", method="apply")) == 2
    with house.store.read() as conn:
        keys = [(row.generation, row.state) for row in actions.find(conn, run_id=run, verbs=("isolate_host",))]
        assert runs.get(conn, run).reason == ""
    assert keys == [(1, State.FAILED), (2, State.FAILED), (3, State.ACTIVE)]
    assert [each.data["attempt"] for each in told(house, where, "step.retried")] == [2, 3]


def test_nothing_is_tried_again_or_passed_over_while_a_call_is_in_doubt_or_the_incident_is_closed(
    house: House, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)

    def apply(_honest: Any, _call: Any, *_rest: Any) -> Any:
        raise OutcomeUnknown("no answer")

    def inspect(honest: Any, call: Any) -> Any:
        if state(house, where, "isolate_host") in UNSETTLED:
            raise Rejected("cannot ask")
        return honest(call)

    wrap(house, "apply", apply)
    wrap(house, "inspect", inspect)
    run = begin(house, where, alice, book(f"id: cut, {CUT}"))
    assert until(lambda: state(house, where, "isolate_host") is State.IN_DOUBT)
    late = TimerFired(occurrence="cut", attempt=1, kind="timeout")
    house.store.write(lambda tx: running.feed(tx, runs.get(tx.conn, run, lock=True), late))
    assert status(house, run) == "failed"
    for refused in (retry, partial(skip, occurrence="cut")):
        with pytest.raises(Conflict, match="isolate_host on ws-0160 is in_doubt"):
            refused(house, run, alice)
    action = rows(house, where, "isolate_host")["ws-0160"]
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, "no", "looked at the console"))
    house.store.write(lambda tx: deciding.close(tx, where, alice, "a drill"))
    for refused in (retry, partial(skip, occurrence="cut")):
        with pytest.raises(Conflict, match="incident is closed"):
            refused(house, run, alice)
    assert status(house, run) == "failed"


def test_a_step_that_waits_for_an_approval_is_passed_over_and_nobody_is_asked_any_more(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    run = begin(house, where, alice, book(f"id: cut, {CUT}, {ASKED}", "id: ask, manual: Done?", f"id: tell, {TELL}"))
    before = until(lambda: asked(house))
    skip(house, run, bob, "cut")
    assert until(lambda: asked(house) is None)
    assert state(house, where, "isolate_host") is State.CANCELLED
    with pytest.raises(Conflict):
        house.store.write(lambda tx: approving.vote(tx, before.id, bob, "approve", "late", before.digest))
    assert until(lambda: open_tasks(house, where))
    with pytest.raises(NotFound):
        skip(house, run, bob, "tell")
    skip(house, run, bob, "ask")
    assert not open_tasks(house, where)
    assert until(lambda: status(house, run) == "succeeded")
    assert not estate.log(verb="isolate_host", method="apply")
    assert len(estate.log(verb="notify", method="apply")) == 1
    assert {name: each[0] for name, each in steps(house, run).items()} == {
        "cut": "skipped", "ask": "skipped", "tell": "succeeded",
    }  # fmt: skip
    skipped = told(house, where, "step.skipped")
    assert [(each.actor, each.data["step"], each.values["reason"]) for each in skipped] == [
        (f"person:{bob.id}", "cut", "not needed"), (f"person:{bob.id}", "ask", "not needed"),
    ]  # fmt: skip
    assert (skipped[0].data["verb"], skipped[0].data["phase"]) == ("isolate_host", "containment")


def open_tasks(house: House, where: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, incident_id=where, kind="manual", status="open")


def test_a_call_under_way_is_not_passed_over(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    wrap(house, "apply", slow("isolate_host", 0.5))
    run = begin(house, where, alice, book(f"id: cut, {CUT}"))
    assert until(lambda: state(house, where, "isolate_host") is State.CALLING)
    with pytest.raises(Conflict, match="is calling"):
        skip(house, run, alice, "cut")
    assert until(lambda: status(house, run) == "succeeded")
    assert state(house, where, "isolate_host") is State.ACTIVE


def test_a_failed_run_goes_on_behind_the_step_that_is_passed_over(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="lie")
    run = begin(house, where, alice, book(f"id: cut, {CUT}", f"id: tell, {TELL}"))
    assert until(lambda: status(house, run) == "failed")
    skip(house, run, alice, "cut")
    assert until(lambda: status(house, run) == "succeeded")
    assert steps(house, run) == {"cut": ("skipped", 1), "tell": ("succeeded", 1)}


@one_database
def test_over_http_a_run_is_controlled_by_who_may_and_cancel_lists_what_stands(house: House, cast: Cast) -> None:
    def key(name: str, *roles: str) -> Mapping[str, str]:
        actor = cast.person(name, *roles)
        issued = house.store.write(lambda tx: people.issue_key(tx, ENGINE, person_id=actor.id))
        return {"authorization": f"Bearer {issued}"}

    keys = {name: key(name, name) for name in ("viewer", "analyst", "responder")}
    door = TestClient(create_app(house))
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    run = begin(house, where, alice, book(f"id: cut, {CUT}", f"id: tell, {TELL}, {ASKED}", f"id: more, {TELL}"))

    def call(what: str, who: str, code: int, **body: Any) -> Any:
        answer = door.post(f"/api/v1/runs/{run}/{what}", json={"reason": "a drill", **body}, headers=keys[who])
        assert answer.status_code == code, answer.text
        return answer.json()

    assert until(lambda: asked(house))
    for what in ("pause", "resume", "retry", "cancel"):
        call(what, "viewer", 403)
    call("skip", "analyst", 403, occurrence="tell")
    assert call("pause", "analyst", 200)["reason"] == "paused by analyst: a drill"
    assert call("pause", "analyst", 409)["code"] == "conflict"
    after = call("skip", "responder", 200, occurrence="tell")
    assert (after["status"], [each["occurrence"] for each in after["steps"] if each["held"]]) == ("paused", ["more"])
    call("skip", "responder", 422)
    call("retry", "analyst", 409)
    cancelled = call("cancel", "analyst", 200)
    assert cancelled["status"] == "cancelled"
    assert [(each["verb"], each["target"], each["state"]) for each in cancelled["stands"]] == [
        ("isolate_host", "host:ws-0160", "active")
    ]
    assert "nobody has said what becomes of it" in cancelled["stands"][0]["decide"]
    assert [each.actor for each in told(house, where, "run.paused")] == [cancelled_by(house, where)]


def cancelled_by(house: House, where: str) -> str:
    return str(told(house, where, "run.cancelled")[0].actor)


def test_a_run_ends_with_the_version_of_its_playbook_that_it_began_with(settings: Settings, estate: Estate) -> None:
    old, new = book(f"id: cut, {CUT}, {ASKED}", f"id: tell, {TELL}"), book(f"id: cut, {CUT}, {ASKED}")
    with living(settings) as house:
        alice, bob = Cast(house).person("alice", "responder"), Cast(house).person("bob", "responder")
        where = incident(house, alice)
        house.store.write(partial(runs.save_playbook, playbook=old))
        run = begin(house, where, alice, old)
        assert until(partial(asked, house))
        house.store.write(partial(runs.save_playbook, playbook=new))
    with living(settings) as house:
        approve_next(house, bob)
        assert until(lambda: status(house, run) == "succeeded")
        with house.store.read() as conn:
            assert runs.get(conn, run).playbook_digest == old.digest != new.digest
            assert runs.current_playbook(conn, "drill").digest == new.digest
    assert len(estate.log(verb="notify", method="apply")) == 1


def test_a_house_that_is_closed_with_twenty_steps_under_way_leaves_none_in_doubt(
    settings: Settings, estate: Estate
) -> None:
    """The targets act and never answer; whoever called still finds out before the house is closed."""
    wide = {"*": CapSettings(per_run=100, per_hour=1000)}
    settings = settings.model_copy(update={"guards": settings.guards.model_copy(update={"caps": wide}), "workers": 8})
    bad = [replace(BAD, value=f"203.0.113.{last}") for last in range(100, 120)]
    blocks = [f"id: b{number}, do: block_ip, with: {{ip: '{each.id}'}}, lease: 1h" for number, each in enumerate(bad)]
    branches = "".join(f"    - [{{{each}}}]\n" for each in blocks)
    with closing(build(settings)) as house:
        alice = Cast(house).person("alice", "responder")
        where = incident(house, alice)

        def judged(tx: Tx) -> None:
            for each in bad:
                incidents.add_observable(tx, where, each)
                incidents.judge_observable(tx, where, each.id, each.verdict, each.confidence, "drill")

        house.store.write(judged)
        estate.fault(verb="block_ip", phase="apply", fault="hang_after", seconds=30, times=20)
        run = begin(house, where, alice, load(f"id: block\nname: Block\nsteps:\n- parallel:\n{branches}"))
        house.start()
        assert until(lambda: estate.log(verb="block_ip", method="apply", changed=True))
        began = time.monotonic()
    took = time.monotonic() - began
    with closing(build(settings)) as house:
        found = [row.state for row in rows(house, where, "block_ip").values()]
        assert took < 30
        assert not UNSETTLED & set(found)
        house.start()
        assert until(lambda: status(house, run) == "succeeded", 40)
    assert len(estate.log(verb="block_ip", method="apply", changed=True)) == 20
    print(f"\nclosed within {took:.1f} s with {found.count(State.ACTIVE)} of 20 blocks done and none in doubt")
