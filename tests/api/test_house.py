"""Persons, keys, switches, adapters, playbooks and the audit, through the door."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from evidence.note import read_verifier_key, verify_note
from soar.store import streams
from soar.store.tables import checkpoints, events, leaves, unsealed
from tests.api.door import Door, unlock
from tests.api.test_errors import problem


def test_a_name_is_taken_once_and_a_role_must_exist(door: Door) -> None:
    door.post("/people", {"name": "dora", "roles": ["viewer"]}, "admin", 201)
    body = {"name": "dora", "roles": ["viewer"]}
    problem(door.call("POST", "/people", "admin", body=body), 409, "conflict")
    problem(door.call("POST", "/people", "admin", body={"name": "eva", "roles": ["king"]}), 422, "invalid")
    problem(door.call("POST", "/people/nobody/keys", "admin", body={}), 404, "not_found")
    problem(door.call("POST", "/keys/nothing/revoke", "admin"), 404, "not_found")


def test_a_key_is_shown_once_and_never_listed(door: Door) -> None:
    person = door.add("finn", ["viewer"])
    secret = door.keys["finn"]
    listed = door.call("GET", "/people", "admin")
    assert person in listed.text
    assert secret not in listed.text
    assert "secret" not in listed.text


def test_a_kill_switch_is_turned_on_and_off_and_both_are_events(own_door: Door) -> None:
    door = own_door
    for name in ("*", "verb:isolate_host", "adapter:yara"):
        assert door.call("PUT", f"/switches/{name}", "admin", body={"reason": "drill"}).status_code == 200
    assert door.call("PUT", "/switches/*", "admin", body={"reason": "still"}).json()["reason"] == "still"
    assert [each["name"] for each in door.get("/switches")["items"]] == ["*", "adapter:yara", "verb:isolate_host"]
    assert door.call("DELETE", "/switches/*", "admin").status_code == 204
    problem(door.call("DELETE", "/switches/*", "admin"), 404, "not_found")
    problem(door.call("PUT", "/switches/verb:isolate_hots", "admin", body={"reason": "typo"}), 404, "not_found")
    problem(door.call("PUT", "/switches/everything", "admin", body={"reason": "typo"}), 422, "invalid")
    said = [(event.data["switch"], event.data["on"]) for event in door.events("system.switch_set")]
    assert said == [("*", True), ("verb:isolate_host", True), ("adapter:yara", True), ("*", True), ("*", False)]


def test_adapters_and_playbooks_are_listed(door: Door) -> None:
    found = door.get("/adapters", "admin")
    assert found["adapters"][0] == {
        "name": "yara",
        "kind": "yara",
        "verbs": {"scan": "R", "command_yara": "R"},
        "problems": [],
    }
    slugs = [each["slug"] for each in door.get("/playbooks")["items"]]
    assert "triage-alert" in slugs
    book = door.get("/playbooks/triage-alert")
    assert book["document"]["spec_version"] == "cacao-2.0"
    assert door.get(f"/playbooks/{book['digest']}")["slug"] == "triage-alert"


def test_the_checkpoint_is_signed_and_the_whole_log_verifies(own_door: Door) -> None:
    door = own_door
    assert door.get("/audit/checkpoint", "auditor")["note"] is None
    door.incident()
    door.house.sealer.seal()
    head = door.get("/audit/checkpoint", "auditor")
    name, key = read_verifier_key(head["verifier_key"])
    assert verify_note(head["note"], name, key).size == head["size"] == door.counts()["events"]
    assert door.get("/audit/verify", "auditor")["problems"] == []


def test_an_event_that_was_changed_past_the_door_shows(own_door: Door) -> None:
    door = own_door
    door.incident()
    door.house.sealer.seal()
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        row = conn.execute(sa.select(events).where(events.c.stream == "system").order_by(events.c.seq)).first()
        assert row is not None
        changed = row.body.replace(b'"v":1', b'"v":2')
        assert changed != row.body
        conn.execute(events.update().where(events.c.id == row.id).values(body=changed))
    codes = {each["code"] for each in door.get("/audit/verify", "auditor")["problems"]}
    assert codes == {"event_link_broken", "event_column_changed", "leaf_differs", "root_differs"}


FORGED = {
    "actor": "person:somebody-else", "kind": "incident.noted", "hash": "0" * 64, "prev": "1" * 64,
    "at": "2020-01-01 00:00:00.000000", "recorded_at": "yesterday",
}  # fmt: skip


@pytest.mark.parametrize("column", sorted(FORGED))
def test_a_column_that_was_forged_beside_the_bytes_shows_and_is_never_told(own_door: Door, column: str) -> None:
    door = own_door
    incident = door.incident()
    told = door.get(f"/incidents/{incident}/events")["items"]
    assert told
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        text = sa.text(f"UPDATE events SET {column} = :forged WHERE stream = :stream AND seq = 0")
        conn.execute(text, {"forged": FORGED[column], "stream": f"incident:{incident}"})
    (found,) = door.get("/audit/verify", "auditor")["problems"]
    assert (found["code"], found["pointer"]) == ("event_column_changed", f"incident:{incident}#0")
    assert f"'{column}'" in found["message"]
    assert door.get(f"/incidents/{incident}/events")["items"] == told


STRAYS = [
    (unsealed.delete(), {"event_unlogged"}, False),
    (unsealed.insert().values(event_id="gone"), {"event_missing"}, True),
    (leaves.delete().where(leaves.c.leaf_index == 0), {"event_unlogged", "leaf_missing"}, True),
    (leaves.insert().values(leaf_index=10_000, event_id="gone", hash=""), {"event_missing", "leaf_unsigned"}, True),
    (checkpoints.delete(), {"leaf_unsigned"}, True),
]


@pytest.mark.parametrize(("done", "codes", "sealed"), STRAYS, ids=["waits", "waiting", "leaf", "more", "checkpoint"])
def test_an_event_outside_the_log_and_a_leaf_without_event_show(
    own_door: Door, done: Any, codes: set[str], sealed: bool
) -> None:
    door = own_door
    if sealed:
        door.house.sealer.seal()
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        conn.execute(done)
    assert {each["code"] for each in door.get("/audit/verify", "auditor")["problems"]} == codes


def test_bytes_that_are_no_event_are_told_as_such(own_door: Door) -> None:
    door = own_door
    incident = door.incident()
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        conn.execute(events.update().where(events.c.stream == streams.incident_stream(incident)).values(body=b"[]"))
    problem(door.call("GET", f"/incidents/{incident}/events", "ana"), 503, "unavailable")
    assert "event_unreadable" in {each["code"] for each in door.get("/audit/verify", "auditor")["problems"]}


def test_a_person_is_kept_out_and_roles_end_through_the_door(own_door: Door) -> None:
    door = own_door
    leaver = door.add("leaver", ["viewer", "analyst"])
    body: dict[str, Any] = {"active": True, "roles": ["viewer"]}
    assert door.call("PUT", f"/people/{leaver}", "admin", body=body).json()["roles"] == ["viewer"]
    assert door.get("/me", "leaver")["roles"] == ["viewer"]
    assert door.call("PUT", f"/people/{leaver}", "admin", body={**body, "active": False}).json()["active"] is False
    problem(door.call("GET", "/me", "leaver"), 401, "unauthenticated")
    problem(door.call("PUT", "/people/nobody", "admin", body=body), 404, "not_found")
    problem(door.call("PUT", f"/people/{leaver}", "ana", body=body), 403, "forbidden")
    problem(door.call("PUT", f"/people/{leaver}", "admin", body={"roles": []}), 422, "invalid")
    me = door.get("/me", "admin")["id"]
    problem(door.call("PUT", f"/people/{me}", "admin", body={"active": False, "roles": []}), 409, "conflict")
    assert [event.data["ended"] for event in door.events("person.changed")] == [["analyst"], []]
