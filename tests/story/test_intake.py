"""What an alert names is never lost: silent inventories, unknown and ambiguous names, repeats, closed incidents."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import House, build
from soar.config import GuardSettings, ProtectionSettings, Settings
from soar.engine import asking, closing
from soar.errors import Invalid, NotSent
from soar.intake import Intake
from soar.model import Actor, Alert, Entity, EntityKind, Mention, Observable, Severity
from soar.playbook.yaml import yaml_form
from soar.resolution import TRIES
from soar.store import incidents, runs, streams, tasks
from soar.store.session import Tx
from soar.store.tables import alerts, due
from soar.store.tables import runs as run_table
from tests.api.door import knock
from tests.stage import until

SIEM = Actor(kind="service", id="elastic", name="elastic", roles=frozenset({"source"}))
ALICE = Actor(kind="person", id="alice", name="alice", roles=frozenset({"responder"}))
NOW = datetime.now(UTC) - timedelta(minutes=10)
WS = Mention(kind="host", value="ws-1", role="affected")
NEEDS_A_HOST = """
id: needs-a-host
name: Tell of the hosts
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
triggers:
  - when: alert:severity_id >= 4
    start: automatic
variables:
  hosts: {type: list, from: scope.hosts.affected, description: Hosts that are affected}
steps:
  - id: tell
    do: notify
    with: {team: on-call, text: A host is affected}
"""


def thing(ident: str, source: str = "cmdb") -> Entity:
    return Entity(kind=EntityKind.HOST, id=ident, name=ident, source=source)


@dataclass
class Inventory:
    """An inventory in memory that can fall silent; it remembers as of when it was asked."""

    name: str = "cmdb"
    knows: dict[str, list[Entity]] = field(default_factory=dict)
    silent: bool = False
    asked: list[datetime] = field(default_factory=list)

    def resolve(self, mention: Mention, at: datetime) -> Sequence[Entity]:
        self.asked.append(at)
        if self.silent:
            raise NotSent("the inventory does not answer")
        return self.knows.get(mention.value, [])


@dataclass
class Desk:
    """A house whose workers stand still, and alert intake with one inventory."""

    house: House
    cmdb: Inventory
    intake: Intake
    sent: int = 0

    def report(self, ident: str = "a-1", *mentions: Mention, **more: Any) -> dict[str, Any]:
        """The SIEM reports a finding; what became of it."""
        self.sent += 1
        given: dict[str, Any] = {
            "source": "elastic", "source_alert_id": ident, "rule_id": "r-1", "rule_name": "Ransom note",
            "title": "Ransom note", "severity": Severity.HIGH, "occurred_at": NOW, "raised_at": NOW,
            "mentions": mentions or (WS,), "dedupe_key": ident, **more,
        }  # fmt: skip
        given.setdefault("facts", {"severity_id": given["severity"].id})
        raw = json.dumps([self.sent, ident]).encode()
        answer = self.intake.receive("elastic", f"d-{self.sent}", raw, [Alert(**given)], SIEM)
        taken: dict[str, Any] = answer["alerts"][0]
        return taken

    def scope(self, incident: str) -> dict[str, str]:
        with self.house.store.read() as conn:
            return {row.entity_id: row.status for row in incidents.scope_rows(conn, incident)}

    def tasks(self, incident: str, kind: str) -> list[Any]:
        with self.house.store.read() as conn:
            return tasks.find(conn, incident_id=incident, kind=kind)

    def events(self, incident: str, kind: str) -> list[Any]:
        with self.house.store.read() as conn:
            return [each for each in streams.read(conn, streams.incident_stream(incident)) if each.kind == kind]

    def runs(self, incident: str, slug: str) -> int:
        with self.house.store.read() as conn:
            query = sa.select(run_table.c.id).where(
                run_table.c.incident_id == incident, run_table.c.playbook_slug == slug
            )
            return len(conn.execute(query).all())

    def timers(self) -> list[Any]:
        with self.house.store.read() as conn:
            return list(conn.execute(sa.select(due).where(due.c.kind == "resolve", due.c.state == "armed")))

    def later(self) -> int:
        """The time of every retry comes, and it is served."""
        with self.house.store.read() as conn:
            now = conn.execute(sa.select(sa.func.max(alerts.c.last_seen))).scalar()
        self.house.store.write(lambda tx: tx.conn.execute(due.update().where(due.c.kind == "resolve").values(at=now)))
        return self.intake.resolve_due()

    def close(self, incident: str) -> None:
        """Everything is decided and the incident is closed."""

        def write(tx: Tx) -> None:
            tx.conn.execute(run_table.update().values(status="succeeded"))
            closing.close(tx, incident, ALICE, "false alarm")

        self.house.store.write(write)

    def number(self, incident: str) -> int:
        with self.house.store.read() as conn:
            return int(incidents.get(conn, incident).number)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    guards = GuardSettings(hard=ProtectionSettings(names=("soar*",)))
    house = build(Settings(data=tmp_path / "data", guards=guards))
    cmdb = Inventory(knows={"ws-1": [thing("ws-1")]})
    yield Desk(house, cmdb, replace(house.intake, directories=(cmdb,)))
    house.close()


def test_what_a_silent_inventory_did_not_say_is_asked_again_and_then_playbooks_are_chosen(desk: Desk) -> None:
    desk.house.store.write(lambda tx: runs.save_playbook(tx, yaml_form.load(NEEDS_A_HOST.encode())))
    desk.cmdb.silent = True
    taken = desk.report()
    incident = taken["incident"]
    assert desk.scope(incident) == {}
    assert not desk.tasks(incident, "unknown_entity")
    assert "not started" in {each["outcome"] for each in taken["playbooks"]}
    first = desk.timers()[0]
    wait = (first.at - desk.events(incident, "alert.received")[0].at).total_seconds()
    assert (first.ref, wait, first.data["tries"]) == (incident, 5, 1)

    # Still silent: the next try waits twice as long. Then it answers, as of the alert's time.
    assert desk.later() == 1
    assert [each.data["tries"] for each in desk.timers()] == [2]
    desk.cmdb.silent = False
    assert desk.later() == 1
    assert desk.scope(incident) == {"ws-1": "affected"}
    assert desk.runs(incident, "needs-a-host") == 1
    assert set(desk.cmdb.asked) == {NOW}
    assert not desk.timers()
    assert desk.later() == 0

    # It is linked now, too: another finding on that host joins.
    assert desk.report("b-1", dedupe_key="b")["incident"] == incident


def test_a_timer_that_the_poller_marked_as_fired_is_still_served(desk: Desk) -> None:
    desk.cmdb.silent = True
    incident = desk.report()["incident"]
    desk.house.store.write(lambda tx: tx.conn.execute(due.update().values(state="fired")))
    desk.cmdb.silent = False
    assert desk.later() == 1
    assert desk.scope(incident) == {"ws-1": "affected"}


def test_a_thread_of_its_own_asks_the_inventories_again(desk: Desk) -> None:
    desk.cmdb.silent = True
    incident = desk.report()["incident"]
    desk.cmdb.silent = False
    stop = threading.Event()
    resolver = threading.Thread(target=desk.intake.resolve_forever, args=(stop,))
    desk.house.store.write(lambda tx: tx.conn.execute(due.update().values(at=tx.now)))
    resolver.start()
    assert until(lambda: desk.scope(incident)) == {"ws-1": "affected"}
    stop.set()
    resolver.join(5)
    assert not resolver.is_alive()


def test_an_inventory_that_stays_silent_becomes_a_question_to_a_person(desk: Desk) -> None:
    desk.cmdb.silent = True
    incident = desk.report()["incident"]
    for _ in range(TRIES):
        assert not desk.tasks(incident, "unresolved")
        assert desk.later() == 1
    assert not desk.timers()
    assert "host ws-1" in desk.tasks(incident, "unresolved")[0].text


def test_a_closed_incident_gets_no_scope_from_a_late_answer_but_a_note(desk: Desk) -> None:
    desk.cmdb.silent = True
    incident = desk.report()["incident"]
    desk.close(incident)
    desk.cmdb.silent = False
    desk.later()
    assert desk.scope(incident) == {}
    assert "host ws-1" in desk.events(incident, "incident.noted")[0].values["text"]


def test_a_run_that_cannot_start_is_an_event_and_a_question_once(desk: Desk) -> None:
    desk.house.store.write(lambda tx: runs.save_playbook(tx, yaml_form.load(NEEDS_A_HOST.encode())))
    seen = (Observable(type="ipv4-addr", value="203.0.113.9"),)
    nobody = Mention(kind="host", value="ws-9", role="related")
    incident = desk.report("a-1", nobody, observables=seen)["incident"]
    assert desk.report("b-1", nobody, observables=seen)["incident"] == incident
    asked = desk.tasks(incident, "not_started")
    assert len(asked) == 1
    assert "needs-a-host" in asked[0].text
    said = [each for each in desk.events(incident, "run.proposed") if each.data["playbook"] == "needs-a-host"]
    assert len(said) == 1
    assert said[0].values["reason"] in asked[0].text


def test_what_no_inventory_knows_is_asked_once_and_only_if_it_was_hit(desk: Desk) -> None:
    lost, other = Mention(kind="host", value="ws-9", role="affected"), Mention(kind="host", value="x", role="related")
    bridge = Mention(kind="address", value="172.17.0.1", role="affected")
    incident = desk.report("a-1", WS, lost, other, bridge)["incident"]
    assert desk.report("b-1", WS, lost)["incident"] == incident
    asked = desk.tasks(incident, "unknown_entity")
    assert len(asked) == 1
    assert "host ws-9" in asked[0].text


def test_the_answer_to_an_ambiguous_name_puts_it_into_scope_and_starts_what_fits(desk: Desk) -> None:
    desk.house.store.write(lambda tx: runs.save_playbook(tx, yaml_form.load(NEEDS_A_HOST.encode())))
    desk.cmdb.knows["ws-1"] = [thing("one"), thing("two")]
    incident = desk.report()["incident"]
    task = desk.tasks(incident, "ambiguous")[0]
    assert {each["id"] for each in task.answer["candidates"]} == {"one", "two"}

    def answer(tx: Tx, said: str) -> None:
        asking.answer(tx, task.id, ALICE, {"entity": said})
        desk.intake.answer_ambiguous(tx, task, {"entity": said}, ALICE)

    with pytest.raises(Invalid) as refused:
        desk.house.store.write(lambda tx: answer(tx, "three"))
    assert "host:one" in refused.value.problems[0].mend
    assert desk.tasks(incident, "ambiguous")[0].status == "open"
    desk.house.store.write(lambda tx: answer(tx, "host:two"))
    assert desk.scope(incident) == {"two": "affected"}
    assert desk.runs(incident, "needs-a-host") == 1
    assert desk.tasks(incident, "ambiguous")[0].answer == {"entity": "host:two"}


def test_an_ambiguous_name_is_answered_through_the_door(tmp_path: Path) -> None:
    with knock(tmp_path) as door:
        cmdb = Inventory(knows={"ws-1": [thing("one"), thing("two")]})
        desk = Desk(door.house, cmdb, replace(door.house.intake, directories=(cmdb,)))
        incident = desk.report()["incident"]
        asked = door.get(f"/tasks?status=open&incident={incident}")["items"]
        task = next(each for each in asked if each["kind"] == "ambiguous")
        wrong = door.call("POST", f"/tasks/{task['id']}/answer", "ana", body={"answer": {"entity": "three"}})
        assert wrong.status_code == 422
        door.post(f"/tasks/{task['id']}/answer", {"answer": {"entity": "one"}})
        assert desk.scope(incident) == {"one": "affected"}


@pytest.mark.parametrize("again", ["a-1", "z-9"], ids=["the same finding", "another of the same rule"])
def test_what_comes_again_after_its_incident_was_closed_opens_a_new_one(desk: Desk, again: str) -> None:
    old = desk.report("a-1", dedupe_key="k")["incident"]
    desk.close(old)
    taken = desk.report(again, dedupe_key="k")
    assert taken["outcome"] == "opened"
    assert taken["incident"] != old
    why = f"seen again after INC-{desk.number(old)} was closed"
    assert desk.events(taken["incident"], "incident.opened")[0].values["why"] == why
    linked = desk.events(old, "alert.repeated")[-1].data
    assert (linked["count"], linked["incident"]) == (2, taken["incident"])
    assert desk.scope(taken["incident"]) == {"ws-1": "affected"}

    # What comes now is counted in the new one, and the next close opens a third.
    counted = desk.report(again, dedupe_key="k")
    assert (counted["outcome"], counted["incident"]) == ("counted", taken["incident"])
    desk.close(taken["incident"])
    third = desk.report(again, dedupe_key="k")
    assert third["outcome"] == "opened"
    assert third["incident"] not in (old, taken["incident"])


def test_a_finding_that_its_source_tells_more_of_is_updated_and_looked_at_again(desk: Desk) -> None:
    desk.cmdb.knows["ws-2"] = [thing("ws-2")]
    taken = desk.report("a-1", severity=Severity.MEDIUM)
    incident = taken["incident"]
    assert desk.runs(incident, "triage-alert") == 1
    assert not desk.report("a-1", severity=Severity.MEDIUM)["playbooks"]

    more = Mention(kind="host", value="ws-2", role="affected")
    seen = (Observable(type="domain-name", value="cdn-update.example"),)
    facts = {"severity_id": 5, "hosts": ["ws-1", "ws-2"]}
    told = desk.report("a-1", WS, more, severity=Severity.CRITICAL, facts=facts, observables=seen)
    assert (told["outcome"], told["count"], told["incident"]) == ("counted", 3, incident)
    assert desk.scope(incident) == {"ws-1": "affected", "ws-2": "affected"}
    assert desk.runs(incident, "triage-alert") == 2
    with desk.house.store.read() as conn:
        row = conn.execute(sa.select(alerts).where(alerts.c.id == taken["alert"])).one()
        assert [each.value for each in incidents.observables_of(conn, incident)] == ["cdn-update.example"]
        assert incidents.get(conn, incident).severity_id == 5
    assert (row.facts, row.severity_id) == (facts, 5)

    # Less severe is not believed, and another finding on the new host joins.
    desk.report("a-1", severity=Severity.LOW)
    with desk.house.store.read() as conn:
        assert conn.execute(sa.select(alerts.c.severity_id).where(alerts.c.id == taken["alert"])).scalar() == 5
    assert desk.report("b-1", more)["incident"] == incident
