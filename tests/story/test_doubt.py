"""When nobody knows what became of a call: ask the target, then a person; repeat nothing blindly."""

from __future__ import annotations

from typing import Any

import pytest

from api.wiring import House
from soar.engine import asking, control, running
from soar.model import Entity, EntityKind, ScopeStatus
from soar.playbook.model import Soar
from soar.playbook.yaml import yaml_form
from soar.protocol import State
from soar.store import incidents, runs, tasks
from tests.stage import Cast, Estate, rows, until
from tests.story.test_holds import do, incident, isolate, state


def test_a_cut_line_after_the_deed_is_found_out_and_adopted(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="cut_after")
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    assert len(estate.log(verb="isolate_host", method="apply")) == 1


def test_a_cut_line_before_the_deed_is_repeated_under_the_same_key(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="cut")
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    keys = {call["key"] for call in estate.log(verb="isolate_host", method="apply")}
    assert keys == {rows(house, where, "isolate_host")["ws-0160"].id}
    assert len(estate.log(verb="isolate_host", method="apply", changed=True)) == 1


def test_an_answer_of_500_that_did_it_is_not_a_failure(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="act_and_500")
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)


def test_a_lie_is_not_effective_and_the_run_fails(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="lie")
    run = do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.NOT_EFFECTIVE)
    assert until(lambda: status(house, run) == "failed")


def test_taken_for_later_is_polled_until_it_is_so(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="accept_later", seconds=1.5)
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACCEPTED)
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)


@pytest.mark.parametrize(
    ("decision", "ends", "calls"), [("yes", "succeeded", 1), ("no", "failed", 1), ("repeat", "succeeded", 2)]
)
def test_what_may_not_be_repeated_waits_for_a_person(
    house: House, estate: Estate, cast: Cast, decision: str, ends: str, calls: int
) -> None:
    """The target hangs in the call, and cannot be asked afterwards either."""
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    estate.fault(verb="isolate_host", phase="apply", fault="hang_after" if decision == "yes" else "hang", seconds=60)
    run = do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.CALLING)
    estate.fault(verb="isolate_host", phase="inspect", fault="error_500")
    assert until(lambda: state(house, where, "isolate_host") is State.IN_DOUBT)
    with house.store.read() as conn:
        asked = tasks.find(conn, incident_id=where, kind="in_doubt", status="open")
    assert len(asked) == 1
    assert status(house, run) == "running"
    action = rows(house, where, "isolate_host")["ws-0160"]
    house.store.write(lambda tx: asking.resolve(tx, action.id, alice, decision, "looked at the console"))
    assert until(lambda: status(house, run) == ends)
    assert len(estate.log(verb="isolate_host", method="apply")) == calls


def status(house: House, run: str) -> str:
    with house.store.read() as conn:
        return str(runs.get(conn, run).status)


def test_a_group_that_acts_together_acts_not_at_all_when_one_may_not(house: House, estate: Estate, cast: Cast) -> None:
    """Without `partial: ok` the protected host stops the whole group before the first call."""
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    guarded = Entity(kind=EntityKind.HOST, id="dc-01", name="dc-01", source="lab:inventory", tags=("protected",))
    house.store.write(lambda tx: incidents.add_scope(tx, where, guarded, ScopeStatus.AFFECTED, tx.now))
    text = """
id: both
name: Both or none
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
steps:
  - id: cut
    parallel:
      - - {id: one, do: isolate_host, with: {host: ws-0160}, review: 1h}
      - - {id: two, do: isolate_host, with: {host: dc-01}, review: 1h}
    together: true
"""
    book = yaml_form.load(text)
    run = house.store.write(lambda tx: running.start_run(tx, where, book, {}, by=alice, why="drill", automatic=False))
    assert until(lambda: status(house, run) == "failed")
    assert not estate.log(verb="isolate_host", method="apply")
    assert {name: row.state for name, row in rows(house, where, "isolate_host").items()} == {
        "ws-0160": State.CANCELLED, "dc-01": State.REFUSED
    }  # fmt: skip


def test_cancelling_a_run_keeps_what_it_contained(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    manual = Soar(slug="ask", manual="Is it back?", outputs={"back": "bool"})
    do(house, where, alice, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    run = do(house, where, alice, manual)
    assert until(lambda: bool(_open(house, where)))
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "changed our minds"))
    assert status(house, run) == "cancelled"
    assert state(house, where, "isolate_host") is State.ACTIVE


def _open(house: House, where: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, incident_id=where, kind="manual", status="open")
