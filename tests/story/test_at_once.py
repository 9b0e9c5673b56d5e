"""What happens in the same moment: commits that carry two steps, incidents that meet at one target, late switches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import House
from soar.engine import control, direct, effects, running
from soar.model import Actor, Inspection, Observable, ScopeStatus, Severity
from soar.playbook.yaml.yaml_form import load
from soar.ports import NotSent
from soar.protocol import State
from soar.store import actions, incidents, runs, streams
from soar.store.session import Tx
from soar.store.tables import heads, switches
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.test_holds import BAD, HOST, approve_next, block, do, incident, state
from tests.story.test_limits import Silent, built, ended, isolate, many_hosts, silent
from tests.story.test_races import status, wrap

__all__ = ["silent"]


def begin(house: House, where: str, by: Actor, text: str, **inputs: Any) -> str:
    return house.store.write(
        lambda tx: running.start_run(tx, where, load(text), inputs, by=by, why="drill", automatic=False)
    )


def steps_of(house: House, run: str) -> list[str]:
    with house.store.read() as conn:
        return [step["id"] for step in runs.get(conn, run).state["steps"]]


def slow_commits(monkeypatch: pytest.MonkeyPatch, which: Callable[[Any], bool], seconds: float) -> threading.Event:
    """Let commits take their time that say such an event; set once the first one is inside."""
    honest, inside = vars(streams)["_Unwritten"].flush, threading.Event()

    def flush(self: Any, tx: Tx) -> None:
        if any(which(each) for each in self.said):
            inside.set()
            time.sleep(seconds)
        honest(self, tx)

    monkeypatch.setattr(vars(streams)["_Unwritten"], "flush", flush)
    return inside


def is_blocked(house: House, where: str) -> bool:
    return state(house, where, "block_ip", BAD.id) is State.ACTIVE


def take_back(house: House, where: str, by: Actor) -> None:
    held = rows(house, where, "block_ip")[BAD.id]
    house.store.write(lambda tx: direct.undo(tx, held.id, reason="mistaken", why="drill", by=by))


@one_database
def test_what_one_step_learns_the_next_one_acts_upon(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")

    def write(tx: Tx) -> str:
        made = incidents.open_new(tx, "drill", Severity.HIGH, alice, "drill")
        incidents.add_scope(tx, made, HOST, ScopeStatus.AFFECTED, tx.now)
        incidents.add_observable(tx, made, Observable(type="ipv4-addr", value=BAD.value))
        return made

    where = house.store.write(write)
    run = begin(
        house, where, alice,
        "id: drill\nname: Drill\nsteps:\n"
        f'  - {{id: known, do: look_up, with: {{observable: "{BAD.id}"}}}}\n'
        "  - {id: block, do: block_indicators, with: {from: incident}, lease: 1h}\n",
    )  # fmt: skip
    assert until(lambda: status(house, run) == "succeeded")
    assert estate.log(verb="block_ip", method="apply", changed=True)


@one_database
def test_a_condition_sees_what_the_step_before_it_made_so(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")

    def write(tx: Tx) -> str:
        made = incidents.open_new(tx, "drill", Severity.HIGH, alice, "drill")
        incidents.add_scope(tx, made, HOST, ScopeStatus.SUSPECTED, tx.now)
        return made

    where = house.store.write(write)
    run = begin(
        house, where, alice,
        "id: drill\nname: Drill\nsteps:\n"
        f"  - {{id: cut, do: isolate_host, with: {{host: {HOST.id}}}, review: 1d}}\n"
        f"  - id: more\n    if: \"scope:hosts.affected = '{HOST.id}'\"\n"
        "    then:\n      - {id: tell, do: notify, with: {team: on-call, text: affected}}\n"
        "    else:\n      - {id: tell2, do: notify, with: {team: on-call, text: nobody}}\n",
    )  # fmt: skip
    assert until(lambda: status(house, run) == "succeeded")
    assert "more/then/tell" in steps_of(house, run)


def test_two_incidents_that_block_the_same_at_once_hold_one_effect(
    house: House, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = cast.person("alice", "responder")
    both = [incident(house, alice), incident(house, alice)]
    slow_commits(monkeypatch, lambda said: bool(said.data.get("state") == "calling"), 0.5)
    for where in both:
        do(house, where, alice, block(3600))
    assert until(lambda: all(state(house, where, "block_ip", BAD.id) is State.ACTIVE for where in both))
    with house.store.read() as conn:
        (effect,) = effects.register(conn)
    assert len(effect["holds"]) == 2


def test_two_incidents_that_let_go_at_once_lift_it(
    house: House, estate: Estate, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    both = [incident(house, alice), incident(house, alice)]
    for where in both:
        do(house, where, alice, block(3600))
        assert until(partial(is_blocked, house, where))
    slow_commits(monkeypatch, lambda said: str(said.kind) == "hold.ended", 0.7)
    for where in both:
        take_back(house, where, alice)
    approve_next(house, bob)
    approve_next(house, bob)
    assert until(lambda: all(state(house, where, "block_ip", BAD.id) is State.REVERTED for where in both))
    assert estate.log(verb="unblock_ip", changed=True)
    with house.store.read() as conn:
        assert effects.register(conn) == []


def test_nobody_joins_what_is_just_being_lifted(
    house: House, estate: Estate, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first, second = incident(house, alice), incident(house, alice)
    do(house, first, alice, block(3600))
    assert until(lambda: state(house, first, "block_ip", BAD.id) is State.ACTIVE)
    lifting = slow_commits(
        monkeypatch, lambda said: bool(said.data.get("state") == "calling" and said.data.get("undo_of")), 0.7
    )
    take_back(house, first, alice)
    approve_next(house, bob)
    assert lifting.wait(10)
    do(house, second, alice, block(3600))
    assert until(lambda: state(house, second, "block_ip", BAD.id) is State.ACTIVE)
    last = [call["verb"] for call in estate.log(changed=True) if call["verb"] in ("block_ip", "unblock_ip")][-1]
    assert last == "block_ip"


@pytest.mark.parametrize("backend", ["postgres"])
def test_an_intent_that_waited_for_a_lock_is_not_sent_after_the_kill_switch(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    looked, go = threading.Event(), threading.Event()
    sent: list[float] = []

    def inspect(honest: Any, call: Any) -> Inspection:
        seen: Inspection = honest(call)
        if not looked.is_set():
            looked.set()
            go.wait(10)
        return seen

    def apply(honest: Any, call: Any, sink: Any) -> Any:
        sent.append(time.monotonic())
        return honest(call, sink)

    wrap(house, "inspect", inspect)
    wrap(house, "apply", apply)
    do(house, where, alice, block(3600))
    assert looked.wait(10)
    with house.store.engine.connect() as other, other.begin():  # somebody else writes to the incident's stream
        stream = streams.incident_stream(where)
        other.execute(sa.select(heads).where(heads.c.stream == stream).with_for_update()).all()
        go.set()
        time.sleep(0.7)
        thrown = {"name": "*", "set_by": alice.id, "reason": "drill"}
        house.store.write(lambda tx: tx.conn.execute(switches.insert().values(**thrown, set_at=tx.now)))
        time.sleep(1.2)
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.REFUSED)
    assert sent == []


def test_a_canary_that_cannot_even_be_looked_at_spares_the_rest(tmp_path: Path, silent: Silent) -> None:
    house = built(tmp_path, silent, canary={"isolate_host": 1})
    try:
        house.start()
        ann = Cast(house).person("ann", "responder")
        where = many_hosts(house, ann, 5)
        honest = silent.inspect

        def blind(call: Any) -> Inspection:
            if call.target.id == "ws-0":
                raise NotSent("no such host any more")
            return honest(call)

        vars(silent)["inspect"] = blind
        assert ended(house, isolate(house, where, ann, 0, 5)).status == "failed"
        assert silent.targets == []
    finally:
        house.close()


def test_a_retry_does_again_what_was_taken_back_meanwhile(tmp_path: Path, silent: Silent) -> None:
    house = built(tmp_path, silent)
    try:
        house.start()
        ann = Cast(house).person("ann", "responder")
        where = many_hosts(house, ann, 2)
        silent.broken = {"ws-1"}
        run = begin(
            house, where, ann,
            "id: drill\nname: D\nvariables:\n  hosts: {type: list, description: x}\nsteps:\n"
            "  - {id: a, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 1d}\n",
            hosts=["ws-0", "ws-1"],
        )  # fmt: skip
        assert ended(house, run).status == "failed"
        first = rows(house, where, "isolate_host")["ws-0"]

        def let_go(tx: Tx) -> None:
            effects.drop(tx, actions.move(tx, actions.get(tx.conn, first.id), State.REVERTING), "mistaken")

        house.store.write(let_go)
        silent.sent = [sent for sent in silent.sent if sent[1].target.id != "ws-0"]
        silent.broken = set()
        house.store.write(lambda tx: control.retry_run(tx, run, ann, "mended"))
        assert until(lambda: "ws-0" in silent.targets)
    finally:
        house.close()
