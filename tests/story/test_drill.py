"""A drill of the configured estate: what it finds in a real house, that it only reads, and how it is kept."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.drill import keeping, machine
from api.wiring import House, build
from evidence.signer import Ed25519Signer
from integrations.sources import elastic
from soar.access import ROLES
from soar.clock import SystemClock
from soar.config import DrillSettings, Settings
from soar.engine import drill
from soar.events import Kind, verify_stream
from soar.model import ENGINE, Actor
from soar.phases import Phase
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.document import to_document
from soar.playbook.model import Playbook, playbook_id
from soar.playbook.trust.gate import Gate
from soar.playbook.yaml import yaml_form
from soar.ports import Capability, Problem, Repeat, Rights
from soar.readiness.report import Report
from soar.store import drills, people, runs, streams, tasks
from soar.store.session import Tx
from soar.store.tables import switches
from tests.stage import Cast, Estate, one_database, until
from tests.story.test_foreign_playbooks import foreign
from tests.story.test_holds import do, incident, isolate, state
from tests.story.test_one_alert import report as siem_reports
from tests.unit.signed_playbooks import private, ring, signed

WHO = Actor(kind="person", id="", name="admin", roles=frozenset({"admin"}))
READS = {"inspect", "other"}


@pytest.fixture
def still(settings: Settings) -> Any:
    """A house in which nobody works: what changes, the drill has done."""
    with closing(build(settings)) as built:
        yield built


def levels(found: Report) -> dict[str, str]:
    return {each.key: each.level.value for each in found.findings}


def team(house: House) -> None:
    """Persons enough for every approval of any library, each armed by the engine."""
    voting = [role for role, may in ROLES.items() if "approval.vote" in may]

    def write(tx: Tx) -> None:
        for number in range(6):
            one = people.add_person(tx, f"p{number}", [*voting, "analyst"], ENGINE)
            people.issue_key(tx, ENGINE, person_id=one)

    house.store.write(write)


@one_database
def test_a_drill_reads_and_changes_nothing_at_the_estate(still: House, estate: Estate) -> None:
    team(still)
    siem_reports(still, "elastic_encryption", "d-1")  # asks the inventory, which is a look-up of its own
    before = len(estate.log())
    keeping.keep(still, WHO, "estate", keeping.look(still))
    asked = estate.log()[before:]
    assert [call for call in asked if call["method"] not in READS or call.get("changed")] == []


@one_database
def test_what_is_wrong_in_a_house_is_found_and_gone_once_it_is_mended(still: House, settings: Settings) -> None:
    wrong = levels(keeping.look(still))
    assert wrong["people.nobody_starts"] == "red"
    assert wrong["evidence.key_copy"] == "amber"
    assert wrong["protection.no_resolvers"] == "amber"
    assert any(key.startswith("people.nobody_approves/") for key in wrong)
    assert not any(key.startswith("systems.") and level == "red" for key, level in wrong.items())
    team(still)
    right = levels(keeping.look(still))
    assert not any(key.startswith("people.") for key in right)


def test_a_kill_switch_an_overdue_hold_and_an_old_question_are_told(still: House) -> None:
    still.store.write(lambda tx: tx.conn.execute(
        switches.insert().values(name="verb:scan", set_by="x", reason="test", set_at=tx.now)))  # fmt: skip
    where = incident(still, WHO)
    still.store.write(lambda tx: tasks.open_task(tx, where, kind="manual", text="?", asks={"a": "bool"}))
    assert isinstance(still.store.clock, SystemClock)
    quiet = levels(keeping.look(still))
    assert "operation.tasks/INC-1" not in quiet
    assert quiet["operation.switch/verb:scan"] == "amber"
    still.store.clock.anchor = replace(
        still.store.clock.anchor, wall=still.store.clock.anchor.wall + timedelta(hours=25)
    )
    later = levels(keeping.look(still))
    assert later["operation.tasks/INC-1"] == "amber"
    assert later["evidence.clock"] == "red"


@one_database
def test_a_containment_beyond_its_review_is_told(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    do(house, where, alice, isolate(review=1))
    assert until(lambda: state(house, where, "isolate_host"))

    def overdue() -> list[str]:
        return [key for key in levels(keeping.look(house)) if key.startswith("operation.overdue/")]

    assert until(overdue)


def test_techniques_that_alerts_named_lately_are_asked_for(still: House) -> None:
    document = {
        "@timestamp": still.store.clock.now().isoformat(), "kibana.alert.uuid": "u-1",
        "kibana.alert.rule.rule_id": "r-1", "kibana.alert.severity": "high", "host.name": "ws-0160",
        "threat.technique.id": ["T1059", "no technique"],
    }  # fmt: skip
    alerts = elastic.source().parse(document)
    still.intake.receive("elastic", "d-2", json.dumps(document).encode(), alerts, WHO)
    found = keeping.look(still)
    assert levels(found)["coverage.not_covered/T1059"] == "amber"
    assert {"technique": "T1059", "alerts": 1, "playbooks": []} in found.rows
    with still.store.read() as conn:
        assert drill.seen(conn, still.store.clock.now() + timedelta(days=1)) == ()


# --- kept ---------------------------------------------------------------------------------------------


def test_a_drill_is_kept_in_the_stream_of_the_phase_preparation_by_whoever_asked(still: House) -> None:
    carol = Cast(still).person("carol", "admin")
    first = keeping.keep(still, carol, "estate", keeping.look(still))
    team(still)
    keeping.keep(still, carol, "lab", keeping.look(still))
    second = keeping.keep(still, carol, "estate", keeping.look(still))
    with still.store.read() as conn:
        events = streams.read(conn, streams.PREPARATION)
        assert verify_stream(streams.PREPARATION, streams.bodies(conn, streams.PREPARATION)) == []
        told = keeping.told(conn, drills.get(conn, second))
        alone = keeping.told(conn, drills.get(conn, first))
        assert [each.id for each in drills.listed(conn, None, 2)] == [second, events[1].id]
        assert [each.id for each in drills.listed(conn, events[1].id, 9)] == [first]
    assert {(each.kind, each.phase, each.actor) for each in events} == {
        (Kind.DRILL_ENDED.value, Phase.PREPARATION, f"person:{carol.id}")
    }
    assert alone["compared"] is None
    assert told["by"] == "person:carol"
    assert told["compared"]["drill"] == first  # that of its own kind, not the one between
    assert told["compared"]["score"] < told["score"]
    assert "people.nobody_starts" in told["compared"]["gone"]
    assert told["compared"]["new"] == []
    assert "protection.no_resolvers" in told["compared"]["still"]


@one_database
def test_names_of_persons_may_be_redacted_and_the_comparison_stands(still: House) -> None:
    Cast(still).person("a-secret-name", "responder")
    kept = keeping.keep(still, WHO, "estate", keeping.look(still))
    with still.store.read() as conn:
        (body, values), *_ = streams.bodies(conn, streams.PREPARATION)
        event = drills.get(conn, kept)
        bare = keeping.told(conn, replace(event, values={}))
    assert b"a-secret-name" not in body
    assert "report" in values
    assert bare["findings"] == []
    assert bare["score"] == event.data["score"]


# --- systems that are not as they should be ---------------------------------------------------------------


class Odd:
    """An adapter whose check does what a test wants."""

    verbs: Mapping[str, Capability] = {"scan": Capability(repeat=Repeat.READ)}

    def __init__(self, name: str, does: Any) -> None:
        self.name, self._does = name, does

    def check(self) -> Sequence[Problem]:
        said: Sequence[Problem] = self._does()
        return said


class Telling(Odd):
    """One that knows its rights."""

    def rights(self) -> Rights:
        return Rights(missing=("contain",), excess=("delete users",))


def test_adapters_that_break_or_keep_silent_are_told_and_keep_nobody_waiting() -> None:
    stop = threading.Event()
    adapters: dict[str, Any] = {
        "well": Odd("well", list),
        "down": Odd("down", lambda: [Problem(code="unreachable", message="no answer")]),
        "broken": Odd("broken", lambda: None),
        "silent": Odd("silent", lambda: stop.wait(20) and []),
        "telling": Telling("telling", list),
    }
    try:
        found = {each.name: each for each in drill.systems(adapters, patience=0.3)}
    finally:
        stop.set()
    codes = {name: [problem.code for problem in each.problems] for name, each in found.items()}
    assert codes == {
        "well": [], "down": ["unreachable"], "broken": ["broken"], "silent": ["silent"], "telling": []
    }  # fmt: skip
    assert found["telling"].rights == Rights(missing=("contain",), excess=("delete users",))
    assert found["well"].rights is None
    assert found["broken"].problems[0].message == "its adapter broke: TypeError"


# --- this machine -------------------------------------------------------------------------------------


def with_drills(house: House, **drills_: Any) -> House:
    house.settings = house.settings.model_copy(update={"drills": DrillSettings(**drills_)})
    return house


@one_database
def test_the_copy_of_the_signing_key_is_compared_with_the_key(still: House, tmp_path: Path) -> None:
    own = still.settings.data / "signing-key.pem"
    copy, other = tmp_path / "copy.pem", tmp_path / "other.pem"
    shutil.copy(own, copy)
    Ed25519Signer.generate(other, "other")
    assert machine.key(still).backup == "not named"
    for file, backup in ((copy, "same"), (other, "other"), (tmp_path / "none.pem", "missing"), (own, "not named")):
        assert machine.key(with_drills(still, key_backup=file)).backup == backup, file
    own.chmod(0o644)
    assert not machine.key(still).private
    own.unlink()
    assert not machine.key(still).there


@one_database
def test_a_vault_that_takes_nothing_is_seen(still: House) -> None:
    assert machine.vault(still).writable
    assert machine.vault(still).free_bytes > 0
    still.vault.put(io.BytesIO(b"evidence"))
    shutil.rmtree(still.settings.data / "vault" / "incoming")
    assert machine.vault(still).why == "incoming/ cannot be written to"
    shutil.rmtree(still.settings.data / "vault")
    assert not machine.vault(still).writable


# --- playbooks, reduced to what they need --------------------------------------------------------------------

BOOK = """\
id: needs
name: What it needs
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
triggers:
  - {when: "alert:techniques[*] = 'T1486'", start: automatic}
variables:
  hosts: {type: list, from: scope.hosts.affected}
steps:
  - id: both
    parallel:
      - - {id: kill, do: kill_process, for_each: $hosts, as: host, with: {host: $host, pid: 7}}
      - - {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 24h}
    together: true
    approval: {any_of: [asset_owner], persons: 2, within: 10m, on_timeout: deny}
  - {id: block, do: block_indicators, with: {from: incident}, lease: 7d}
  - {id: wipe, do: wipe_device, for_each: $hosts, as: host, with: {host: $host}}
  - {id: release, undo: [isolate, block], reason: recovered}
"""


def load(text: str) -> Playbook:
    """As the engine would take it from elsewhere, where no checker of ours was asked."""
    return yaml_form.read(text.encode())[0]


def test_what_a_playbook_needs_is_read_from_its_steps() -> None:
    book = load(BOOK)
    asked = {each.step: (sorted(each.any_of), each.persons, each.on_timeout) for each in drill.needs(book)}
    assert asked == {
        "both": (["asset_owner"], 2, "deny"),
        "wipe": (["responder"], 1, "escalate"),  # the engine insists: it destroys
        "release": (["responder"], 1, "escalate"),  # and here: an isolation ends
    }
    wanted = set(drill.verbs(book))
    assert {frozenset({name}) for name in ("kill_process", "isolate_host", "wipe_device", "release_host")} <= wanted
    assert frozenset({"block_ip", "block_domain", "block_url", "block_hash", "block_sender"}) in wanted
    assert any("unblock_ip" in each for each in wanted)
    assert not any("block_indicators" in each for each in wanted)


@one_database
def test_a_playbook_of_the_house_is_judged_as_it_stands_there(still: House) -> None:
    book = replace(load(BOOK), valid_until="2026-11-23T10:00:00.000Z", revoked=True)
    still.store.write(lambda tx: runs.save_playbook(tx, book))
    with still.store.read() as conn:
        found = next(
            each for each in drill.books(conn, still.parts.gate, still.store.clock.now()) if each.slug == "needs"
        )
    assert (found.automatic, found.revoked, found.signed) == (True, True, False)
    assert found.triggers == ("alert:techniques[*] = 'T1486'",)
    assert levels(keeping.look(still))["library.revoked/needs"] == "red"


@one_database
def test_only_a_signature_by_somebody_whom_we_trust_counts(still: House) -> None:
    now = still.store.clock.now()
    book = from_document(signed(to_document(load(BOOK)), by="ana", now=now - timedelta(minutes=1)))
    still.store.write(lambda tx: runs.save_playbook(tx, book))
    trusting, strange = Gate(ring(ana=private("ed25519"))), Gate(ring(ana=private("ed25519", 2)))
    with still.store.read() as conn:
        for gate, stands in ((trusting, True), (strange, False), (Gate(), False)):
            assert {each.slug: each.signed for each in drill.books(conn, gate, now)}["needs"] is stands


@one_database
def test_a_foreign_playbook_is_asked_for_its_commands_and_for_those_it_calls(still: House) -> None:
    away = {"type": "playbook-action", "playbook_id": playbook_id("nowhere")}
    ask = {"type": "action", "commands": [{"type": "http-api", "command": "GET / HTTP/1.1"}]}
    book = foreign("elsewhere", {"call": away, "ask": ask})
    assert set(drill.verbs(book)) == {frozenset({"command_http_api"})}
    still.store.write(lambda tx: runs.save_playbook(tx, book))
    (told,) = [each for each in keeping.look(still).findings if each.key == f"playbooks.cannot_run/{book.id}"]
    assert playbook_id("nowhere") in told.what
    assert "command_http_api" in told.what
