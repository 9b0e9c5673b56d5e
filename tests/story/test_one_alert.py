"""Read this first: one alert, from the SIEM to the closed incident, with real objects and no mocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from api.wiring import House
from integrations.sources import elastic, suricata
from integrations.sources.samples import load_sample
from soar.engine import approving, asking, binding, closing, effects, running
from soar.events import verify_stream
from soar.model import Actor, ScopeStatus
from soar.store import incidents, runs, streams, tasks
from soar.store.session import Tx
from soar.store.tables import approvals
from soar.timeline import timeline
from tests.stage import Cast, Estate, one_database, rows, until

SIEM = Actor(kind="service", id="elastic", name="elastic", roles=frozenset({"source"}))
NOW = datetime.now(UTC) - timedelta(seconds=30)


def report(house: House, sample: str, delivery: str) -> dict[str, Any]:
    """A SIEM reports a finding."""
    document = load_sample(sample, NOW)
    source = suricata.source() if sample.startswith("suricata") else elastic.source()
    return house.intake.receive(source.kind, delivery, json.dumps(document).encode(), source.parse(document), SIEM)


def open_approval(house: House, verb: str) -> Any:
    """The approval that waits for a person, about a verb."""

    def look() -> Any:
        with house.store.read() as conn:
            found = conn.execute(approvals.select().where(approvals.c.status == "open")).all()
        return next((row for row in found if verb in row.subject), None)

    return until(look)


def approve(house: House, person: Actor, approval: Any) -> None:
    house.store.write(lambda tx: approving.vote(tx, approval.id, person, "approve", "seen the plan", approval.digest))


def test_one_alert_travels_the_whole_way(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "analyst", "responder"), cast.person("bob", "responder")

    # A SIEM reports: an incident opens, and a second source joins it because of host and address.
    opened = report(house, "elastic_encryption", "delivery-1")["alerts"][0]
    incident = opened["incident"]
    assert opened["outcome"] == "opened"
    assert report(house, "elastic_encryption", "delivery-1")["replayed"]
    assert report(house, "elastic_lateral", "delivery-2")["alerts"][0]["incident"] == incident
    joined = report(house, "suricata_c2", "delivery-3")["alerts"][0]
    assert joined["incident"] == incident
    assert "host ws-0147" in joined["why"]
    assert "address 203.0.113.66" in joined["why"]

    # What it names was resolved as of the alert's time; a first playbook looked the observables up.
    until(lambda: _no_run_is_running(house, incident))
    with house.store.read() as conn:
        scope = {row.entity_id: row for row in incidents.scope_rows(conn, incident)}
        held = {each.value: each.verdict for each in incidents.observables_of(conn, incident)}
    assert {"ws-0147", "ws-0152", "dc-01", "j.doe", "m.ruiz"} <= set(scope)
    assert held["203.0.113.66"] == "malicious"

    # The domain controller is only related; the analyst takes it for affected too.
    assert scope["dc-01"].status == "suspected"
    house.store.write(
        lambda tx: incidents.set_scope(tx, incident, "host:dc-01", ScopeStatus.AFFECTED, alice, "same alert names it")
    )

    # An analyst starts the playbook; the group's approval is another person's to give.
    with house.store.read() as conn:
        book = runs.current_playbook(conn, "compromised-host")
        inputs = binding.initial_inputs(book, incidents.facts(conn, incident), {"watch_for": "1s"})
    run = house.store.write(
        lambda tx: running.start_run(tx, incident, book, inputs, by=alice, why="two hosts", automatic=False)
    )
    approval = open_approval(house, "isolate_host")
    assert not estate.log(verb="isolate_host", method="apply")
    approve(house, bob, approval)

    # Contained and verified; the protected host was refused alone; evidence was collected after.
    kill = open_approval(house, "kill_process")
    isolated = rows(house, incident, "isolate_host")
    assert {name: row.state.value for name, row in isolated.items()} == {
        "ws-0147": "active", "ws-0152": "active", "dc-01": "refused"
    }  # fmt: skip
    assert rows(house, incident, "scan")[incident].outputs["malware_found"] is True

    # Cleaned, proven clean, released by a second person; service is back.
    approve(house, bob, kill)
    approve(house, bob, open_approval(house, "release_host"))
    task = until(lambda: _open_tasks(house, incident))[0]
    house.store.write(lambda tx: asking.answer(tx, task.id, alice, {"restored": True}))
    until(lambda: _no_run_is_running(house, incident))
    with house.store.read() as conn:
        assert (runs.get(conn, run).status, runs.get(conn, run).reason) == ("succeeded", "")
    assert {row.state.value for name, row in rows(house, incident, "isolate_host").items() if name != "dc-01"} == {
        "reverted"
    }

    # Every containment is decided, the incident closes, and the timeline tells all of it.
    with house.store.read() as conn:
        standing = effects.register(conn, incident_id=incident)
    assert {entry["verb"] for entry in standing} <= {"block_ip", "block_domain", "block_hash", "quarantine_file"}
    for entry in standing:
        house.store.write(
            partial(effects.dispose, effect_id=entry["id"], disposition="kept_to_date", why="to its date", actor=alice)
        )
    house.store.write(lambda tx: closing.close(tx, incident, alice, "contained, cleaned, released"))
    with house.store.read() as conn:
        stream = streams.incident_stream(incident)
        lanes = timeline(streams.read(conn, stream), house.store.clock.now())
        assert verify_stream(stream, streams.bodies(conn, stream)) == []
    host = next(lane for lane in lanes.lanes if lane.key == "host:ws-0147")
    phases = [interval.phase.value for interval in host.intervals]
    assert phases[:2] == ["detection", "containment"]
    assert phases[-1] == "recovery"


def _keep(effect: str, actor: Actor, tx: Tx) -> None:
    effects.dispose(tx, effect, "kept_to_date", "to its date", actor)


def _no_run_is_running(house: House, incident: str) -> bool:
    from soar.store.tables import runs as table

    with house.store.read() as conn:
        states = conn.execute(table.select().where(table.c.incident_id == incident)).all()
    return bool(states) and all(row.status != "running" for row in states)


def _open_tasks(house: House, incident: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, incident_id=incident, status="open", kind="manual")


@one_database
def test_what_a_joined_alert_brings_is_looked_up_too(house: House) -> None:
    """The name that only the second alert has must be known before anybody plans a block of it."""
    opened = report(house, "elastic_encryption", "delivery-1")["alerts"][0]
    until(lambda: _no_run_is_running(house, opened["incident"]))
    document = load_sample("suricata_c2", NOW)
    document["tls"]["sni"] = "second-stage.example"
    raw = json.dumps(document).encode()
    joined = house.intake.receive("suricata", "delivery-2", raw, suricata.source().parse(document), SIEM)["alerts"][0]
    assert joined["incident"] == opened["incident"]
    assert until(lambda: "domain-name:second-stage.example" in rows(house, opened["incident"], "look_up"))
