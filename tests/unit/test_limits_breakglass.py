"""Break-glass: two persons apart, one of them the commander, for an hour; an alarm and a review. On both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from soar.clock import SystemClock
from soar.engine import breakglass
from soar.errors import Conflict, NotFound, Refused
from soar.guards.case import YIELDS
from soar.ids import new_id
from soar.model import ENGINE, Actor, IncidentStatus, Severity
from soar.ports import ClockStep
from soar.store import incidents, people, streams, tasks
from soar.store.session import Store, Tx
from soar.store.tables import actions, due


class Later:
    """The clock of this machine, some time on."""

    def __init__(self) -> None:
        self.clock, self.by = SystemClock(), timedelta()

    def now(self) -> datetime:
        return self.clock.now() + self.by

    def step(self) -> ClockStep | None:
        return None


class Crew:
    """A house with an incident and persons whom nobody armed today."""

    def __init__(self, url: str) -> None:
        self.clock = Later()
        self.store = Store(url, self.clock)
        self.incident = self.store.write(lambda tx: incidents.open_new(tx, "drill", Severity.HIGH, ENGINE, "drill"))

    def person(self, name: str, *roles: str, by: Actor = ENGINE) -> Actor:
        made = self.store.write(lambda tx: people.add_person(tx, name, roles, by))
        return Actor(kind="person", id=made, name=name, roles=frozenset(roles))

    def ask(self, who: Actor) -> str:
        return self.store.write(lambda tx: breakglass.ask(tx, self.incident, who, "the plant is burning"))

    def do(self, act: Callable[[Tx], Any]) -> None:
        self.store.write(act)

    def opened(self) -> bool:
        with self.store.read() as conn:
            return breakglass.in_force(conn, self.incident, self.clock.now()) is not None

    def tasks(self, kind: str, status: str = "open") -> list[Any]:
        with self.store.read() as conn:
            return tasks.find(conn, incident_id=self.incident, kind=kind, status=status)

    def kinds(self, stream: str) -> list[str]:
        with self.store.read() as conn:
            return [each.kind for each in streams.read(conn, stream) if each.kind.startswith("break_glass")]

    def timers(self) -> list[Any]:
        with self.store.read() as conn:
            return list(conn.execute(sa.select(due).where(due.c.kind == breakglass.TIMER, due.c.state == "armed")))


@pytest.fixture
def crew(database_url: str) -> Iterator[Crew]:
    made = Crew(database_url)
    yield made
    made.store.close()


def test_two_persons_open_it_for_an_hour_with_an_alarm_and_its_end_asks_for_a_review(crew: Crew) -> None:
    ann, com = crew.person("ann", "responder"), crew.person("com", "commander")
    glass = crew.ask(ann)
    assert not crew.opened()
    crew.do(lambda tx: breakglass.approve(tx, glass, com, "yes"))
    assert crew.opened()
    assert "the plant is burning" in crew.tasks("break_glass_alarm")[0].text
    crew.clock.by = timedelta(minutes=59)
    crew.do(lambda tx: breakglass.time_out(tx, glass))
    assert crew.opened(), "an early or doubled timer ends nothing"
    crew.clock.by = timedelta(minutes=60, seconds=1)
    assert not crew.opened(), "its hour is over even where the timer is late"
    crew.do(lambda tx: breakglass.time_out(tx, glass))
    crew.do(lambda tx: breakglass.time_out(tx, glass))
    assert not crew.tasks("break_glass_alarm")
    (review,) = crew.tasks("break_glass_review")
    assert review.due_at is not None
    told = ["break_glass.asked", "break_glass.opened", "break_glass.ended"]
    assert crew.kinds(streams.incident_stream(crew.incident)) == crew.kinds(streams.SYSTEM) == told
    assert crew.timers() == []


def test_one_person_alone_two_without_a_commander_and_a_service_open_nothing(crew: Crew) -> None:
    com, ann, bob = crew.person("com", "commander"), crew.person("ann", "responder"), crew.person("bob", "responder")
    machine = Actor(kind="service", id="siem", name="siem", roles=frozenset({"commander"}))
    with pytest.raises(Refused, match="by a person"):
        crew.ask(machine)
    glass = crew.ask(ann)
    for who, why in ((ann, "persons are counted"), (bob, "commander"), (machine, "not a person")):
        with pytest.raises(Refused, match=why):
            crew.do(partial(breakglass.approve, glass_id=glass, actor=who, reason="yes"))
        assert not crew.opened()
    crew.do(lambda tx: breakglass.approve(tx, glass, com, "yes"))
    assert crew.opened()


def test_who_was_armed_today_by_the_other_or_by_the_same_hand_is_no_second_person(crew: Crew) -> None:
    root = crew.person("root", "admin", "commander")
    made = crew.person("made", "responder", by=root)
    glass = crew.ask(made)
    with pytest.raises(Refused, match="apart"):
        crew.do(lambda tx: breakglass.approve(tx, glass, root, "yes"))
    twin = crew.person("twin", "commander", by=root)
    with pytest.raises(Refused, match="apart"):
        crew.do(lambda tx: breakglass.approve(tx, glass, twin, "yes"))
    assert not crew.opened()


def test_a_request_that_nobody_answers_lapses_and_cannot_be_approved_late(crew: Crew) -> None:
    ann, com = crew.person("ann", "responder"), crew.person("com", "commander")
    glass = crew.ask(ann)
    with pytest.raises(Conflict, match="already"):
        crew.ask(com)
    crew.clock.by = timedelta(minutes=15)
    with pytest.raises(Conflict, match="lapsed"):
        crew.do(lambda tx: breakglass.approve(tx, glass, com, "yes"))
    crew.do(lambda tx: breakglass.time_out(tx, glass))
    assert not crew.tasks("break_glass_review"), "what was never open is not reviewed"
    again = crew.ask(ann)
    crew.do(lambda tx: breakglass.deny(tx, again, com, "no"))
    with pytest.raises(Conflict, match="denied"):
        crew.do(lambda tx: breakglass.approve(tx, again, com, "yes"))
    assert not crew.opened()


def test_it_holds_for_one_incident_and_only_an_open_one_can_be_ended(crew: Crew) -> None:
    ann, com = crew.person("ann", "responder"), crew.person("com", "commander")
    other = crew.store.write(lambda tx: incidents.open_new(tx, "other", Severity.LOW, ENGINE, "x"))
    glass = crew.ask(com)
    with pytest.raises(Conflict):
        crew.do(lambda tx: breakglass.end(tx, glass, ann, "over"))
    crew.do(lambda tx: breakglass.approve(tx, glass, ann, "yes"))
    with crew.store.read() as conn:
        assert breakglass.in_force(conn, other, crew.clock.now()) is None
    crew.do(lambda tx: breakglass.end(tx, glass, ann, "contained"))
    assert not crew.opened()
    with pytest.raises(Conflict):
        crew.do(lambda tx: breakglass.end(tx, glass, ann, "again"))
    crew.do(lambda tx: incidents.set_status(tx, other, IncidentStatus.CLOSED, ENGINE))
    with pytest.raises(Conflict, match="closed"):
        crew.do(lambda tx: breakglass.ask(tx, other, ann, "late"))
    with pytest.raises(NotFound):
        crew.do(lambda tx: breakglass.approve(tx, "nothing", ann, "yes"))


def test_canaries_are_what_went_over_a_cap_and_was_verified_under_it(crew: Crew) -> None:
    ann, com = crew.person("ann", "responder"), crew.person("com", "commander")
    glass = crew.ask(ann)
    crew.do(lambda tx: breakglass.approve(tx, glass, com, "yes"))

    def sent(host: str, guard: str, reason: str, *, verified: bool = True, before: timedelta = timedelta()) -> None:
        def write(tx: Tx) -> None:
            key = new_id()
            at = tx.now - before
            tx.conn.execute(
                actions.insert().values(
                    id=key, origin="run:x", step_path=key, command_index=0, target=f"host:{host}", target_name=host,
                    verb="isolate_host", generation=1, adapter="edr", params={}, repeat_class="B", digest="d",
                    state="active" if verified else "calling", incident_id=crew.incident, prior={}, handle={},
                    outputs={}, guards=[{"guard": guard, "verdict": "pass", "reason": reason, "hard": False}],
                    lease_seconds=0, review_seconds=0, caller="x", created_at=at, called_at=at,
                    verified_at=at if verified else None,
                )
            )  # fmt: skip

        crew.do(write)

    sent("ws-1", "caps", f"target 11 in this run; {YIELDS}")
    sent("ws-2", "caps", f"target 12 in this run; {YIELDS}", verified=False)
    sent("ws-3", "caps", "within the caps")
    sent("ws-4", "soft_protection", f"protected; {YIELDS}")
    sent("ws-5", "caps", f"target 9; {YIELDS}", before=timedelta(hours=2))
    with crew.store.read() as conn:
        opened = breakglass.get(conn, glass)
        assert breakglass.canaries(conn, opened, "isolate_host") == 1
        assert breakglass.canaries(conn, opened, "block_ip") == 0
    crew.do(lambda tx: breakglass.end(tx, glass, ann, "done"))
    text = crew.tasks("break_glass_review")[0].text
    assert [host for host in ("ws-1", "ws-2", "ws-3", "ws-4", "ws-5") if host in text] == ["ws-1", "ws-2", "ws-4"]
