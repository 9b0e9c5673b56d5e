"""The OpenC2 consumer: commands at the standard's address become actions under the same guards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.estate.server import Lab, spawn
from soar.model import ENGINE, Observable, Severity, Verdict
from soar.openc2 import language
from soar.openc2.message import CONTENT_TYPE, PATH
from soar.openc2.words import command_of
from soar.store import incidents, people
from soar.verbs import VERBS
from tests.api.door import Answer, Door, knock
from tests.stage import until

BAD = "198.51.100.23"
_numbers = itertools.count(1)


def denied(address: str = "") -> Any:
    """A command that denies an address, one of its own if none is named."""
    number = next(_numbers)
    return {
        "action": "deny",
        "target": {"ipv4_net": address or f"203.0.113.{number}"},
        "command_id": f"deny-{number}",
    }


def contained(host: str = "ws-0160") -> Any:
    """A command that isolates a host."""
    return {
        "action": "contain", "target": {"device": {"hostname": host}},
        "args": {"er": {"device_containment": "network_isolation"}}, "command_id": f"contain-{next(_numbers)}",
    }  # fmt: skip


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with spawn(tmp_path_factory.mktemp("estate")) as lab:
        yield lab


@pytest.fixture(scope="module")
def site(estate: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A house with the estate, and a second person who can approve."""
    guards = {
        "hard": {"names": ("soar*",)}, "soft": {"tags": ("protected",)}, "evidence_box": 0.0,
        "same_day_issuer": "bootstrap",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("site")
    with knock(folder, adapters={"lab": {"kind": "lab", "url": estate.url}}, guards=guards) as door:
        yield door


def judged(site: Door, command: Any) -> str:
    """An incident in which the address of a command is held malicious; its name."""
    value = command["target"]["ipv4_net"].partition("/")[0]

    def write(tx: Any) -> str:
        key = incidents.open_new(tx, "a beacon", Severity.HIGH, ENGINE, "test")
        seen = Observable(type="ipv4-addr", value=value)
        incidents.add_observable(tx, key, seen)
        incidents.judge_observable(tx, key, seen.id, Verdict.MALICIOUS, 95, "test")
        return f"INC-{incidents.get(tx.conn, key).number}"

    return site.house.store.write(write)


def post(site: Door, command: Any, who: str = "ana", request_id: str = "", **headers: str) -> Answer:
    body = {"headers": {"from": "producer.example", **({"request_id": request_id} if request_id else {})},
            "body": {"openc2": {"request": command}}}  # fmt: skip
    given = {"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE, **headers}
    if who:
        given["authorization"] = f"Bearer {site.keys[who]}"
    return site.client.post(PATH, json=body, headers=given)


def told(site: Door, command: Any, who: str = "ana", **more: Any) -> language.Response:
    """The response, read by the language's own rules."""
    answer = post(site, command, who, **more)
    assert answer.headers["content-type"] == CONTENT_TYPE
    response = language.parse_response(answer.json()["body"]["openc2"]["response"])
    assert answer.status_code == (200 if response.status == 102 else response.status)
    return response


def status(site: Door, command: Any, who: str = "ana") -> int:
    return int(told(site, command, who).status)


def in_incident(command: Any, incident: str, **args: Any) -> Any:
    return {**command, "args": {**command.get("args", {}), **args, "x-soar": {"incident": incident, "why": "a drill"}}}


def settled(site: Door, command: Any, text: str = "", who: str = "ana") -> language.Response:
    """Work until the command is done, or waits with these words."""

    def seen() -> language.Response | None:
        site.work()
        found = told(site, command, who)
        return found if found.status != 102 or (text and text in found.status_text) else None

    found = until(seen)
    assert found is not None
    return found  # type: ignore[no-any-return]


def standing(site: Door, command: Any) -> list[Any]:
    """What the register has on the address of a command."""
    address = command["target"]["ipv4_net"].partition("/")[0]
    return [each for each in site.get("/register")["items"] if each["target"].endswith(f":{address}")]


def approve(site: Door, command: Any, who: str = "ana") -> language.Response:
    """A second person agrees to what waits; the response when it is done."""
    waiting = settled(site, command, "waits for an approval", who)
    assert waiting.status == 102
    run = waiting.results["x-soar"]["run"]
    (asked,) = (each for each in site.get("/approvals?status=open", "responder")["items"] if each["run_id"] == run)
    vote = {"decision": "approve", "reason": "yes", "digest": asked["digest"]}
    site.post(f"/approvals/{asked['id']}/votes", vote, "responder")
    return settled(site, command, who=who)


# --- features -------------------------------------------------------------------------------------


def test_features_are_answered_to_anybody_with_a_key(site: Door) -> None:
    wanted = ["versions", "profiles", "pairs", "rate_limit"]
    found = told(site, {"action": "query", "target": {"features": wanted}}, "viewer")
    assert found.results["versions"] == ["1.0"]
    assert found.results["profiles"] == ["slpf", "er"]
    assert "er is an unpublished draft" in found.status_text
    assert {"ipv4_net", "ipv6_net"} <= set(found.results["pairs"]["deny"])
    assert found.results["pairs"]["delete"] == ["file", "slpf:rule_number"]
    assert told(site, {"action": "query", "target": {"features": []}}, "viewer").as_plain() == {"status": 200}


def test_every_pair_that_is_offered_is_understood_and_no_other_is(site: Door) -> None:
    offered = told(site, {"action": "query", "target": {"features": ["pairs"]}}).results["pairs"]
    sample = {"ip": BAD, "domain": "a.example", "url": "https://a.example/", "sender": "a@b.example", "hash": "0" * 64,
              "host": "none", "account": "none", "path": "/x", "pid": 4, "name": "sshd"}  # fmt: skip
    lab = site.house.parts.adapters["lab"]
    for verb in (each for each in VERBS.values() if each.openc2):
        command = command_of(verb.name, {name: sample[name] for name, spec in verb.params.items() if spec.required})
        done = verb.name in lab.verbs
        assert (command.target_type in offered.get(command.action, ())) is done
        assert (status(site, {**command.as_plain(), "command_id": f"pair-{verb.name}"}) == 501) is not done


# --- a block --------------------------------------------------------------------------------------


def test_an_address_is_denied_then_the_rule_deleted_by_its_number(site: Door) -> None:
    deny = denied()
    deny = in_incident(deny, judged(site, deny), duration=3_600_000)
    assert status(site, deny) == 102
    done = settled(site, deny)
    assert done.status == 200
    number = done.results["slpf"]["rule_number"]
    assert 0 < number < 2**53
    (entry,) = standing(site, deny)
    assert (entry["verb"], entry["expires_at"] is not None) == ("block_ip", True)
    delete = {"action": "delete", "target": {"slpf:rule_number": number}, "actuator": {"slpf": {}}, "command_id": "d"}
    assert status(site, delete) == 102
    assert approve(site, delete).status == 200
    assert standing(site, deny) == []
    assert status(site, {**delete, "command_id": "d2"}) == 404
    assert "slpf" not in told(site, deny).results


def test_allowing_the_same_address_ends_the_block_in_any_spelling(site: Door) -> None:
    deny = denied("198.51.100.24/32")
    deny = in_incident(deny, judged(site, deny))
    assert settled(site, deny).status == 200
    allow = {"action": "allow", "target": {"ipv4_net": "198.51.100.24"}, "args": {"x-soar": {"reason": "mistaken"}}}
    assert approve(site, {**allow, "command_id": "allow"}).status == 200
    assert standing(site, deny) == []


def test_a_block_that_two_incidents_hold_is_not_ended_for_one_by_chance(site: Door) -> None:
    deny = denied()
    first, second = judged(site, deny), judged(site, deny)
    for where in (first, second):
        assert settled(site, {**in_incident(deny, where), "command_id": f"held-{where}"}).status == 200
    allow = {"action": "allow", "target": deny["target"], "command_id": "which"}
    assert status(site, allow) == 400
    assert approve(site, {**allow, "args": {"x-soar": {"incident": first}}}).status == 200
    assert len(standing(site, deny)) == 1


def test_what_nobody_judged_is_refused_by_the_same_guard(site: Door) -> None:
    deny = denied()
    refused = settled(site, deny)
    assert refused.status == 403
    assert "judge" in refused.status_text
    incident = refused.results["x-soar"]["incident"]
    assert [each["value"] for each in site.get(f"/incidents/{incident}")["observables"]] == [deny["target"]["ipv4_net"]]


def test_our_own_addresses_are_not_blocked_whoever_asks(site: Door) -> None:
    deny = denied("127.0.0.1")
    assert settled(site, in_incident(deny, judged(site, deny))).status == 403


def test_a_command_for_later_waits_for_its_time(site: Door) -> None:
    now = round(site.house.store.clock.now().timestamp() * 1000)
    deny = denied()
    deny = in_incident(deny, judged(site, deny), start_time=now + 3_600_000, duration=60_000)
    assert status(site, deny) == 102
    site.work()
    assert status(site, deny) == 102
    assert standing(site, deny) == []


def test_a_command_for_a_moment_ahead_is_done_then(site: Door) -> None:
    now = round(site.house.store.clock.now().timestamp() * 1000)
    deny = denied()
    deny = in_incident(deny, judged(site, deny), start_time=now + 300)
    assert settled(site, deny).status == 200


# --- approvals ------------------------------------------------------------------------------------


def test_a_containment_waits_for_a_second_person_and_tells_how_to_ask(site: Door) -> None:
    contain = contained()
    assert status(site, contain) == 102
    assert approve(site, contain).status == 200
    asked = told(site, {"action": "query", "target": {"command": contain["command_id"]}})
    assert (asked.status, asked.results["x-soar"]["state"]) == (200, "active")
    gated = told(site, {**contain, "action": "allow", "command_id": "release"})
    assert gated.status == 403
    assert gated.results["x-soar"]["missing"]
    incident = site.get(f"/incidents/{asked.results['x-soar']['incident']}")["id"]
    assert len(site.events("release.refused", f"incident:{incident}")) == 1


def test_of_two_files_in_quarantine_the_named_one_is_restored(site: Door) -> None:
    er = {"downstream_device": {"devices": [{"device_id": "ws-0160"}]}}
    home = "C:\\Users\\k.lind\\Documents"
    files: list[Any] = [
        {"action": "contain", "target": {"file": {"path": home, "name": name}}, "args": {"er": er}, "command_id": name}
        for name in ("rates-2026.xlsx", "routes.csv")
    ]
    assert [settled(site, each).status for each in files] == [200, 200]
    mistaken = {"er": er, "x-soar": {"reason": "mistaken"}}
    allow = {**files[0], "action": "allow", "command_id": "back", "args": mistaken}
    assert approve(site, allow).status == 200
    states = [told(site, each).results["x-soar"]["state"] for each in files]
    assert states == ["reverted", "active"]
    other = {**allow, "target": {"file": {"path": home, "name": "three"}}, "command_id": "other"}
    assert status(site, other) == 404


def test_a_protected_host_is_not_isolated_even_with_an_approval(site: Door) -> None:
    contain = contained("dc-01")
    assert settled(site, contain).status == 403


def test_a_host_that_nobody_knows_is_not_found_and_opens_nothing(site: Door) -> None:
    contain, before = contained("nowhere"), site.counts()
    assert status(site, contain) == 404
    assert status(site, {**contain, "target": {"device": {"device_id": "nowhere"}}}) == 404
    assert status(site, {**contain, "action": "allow"}) == 404
    assert site.counts() == before


def test_a_device_without_a_way_to_contain_it_is_never_a_success(site: Door) -> None:
    contain = contained()
    assert status(site, {key: value for key, value in contain.items() if key != "args"}) == 400
    assert status(site, {**contain, "args": {"er": {"device_containment": "app_restriction"}}}) == 501


# --- who, and how often ---------------------------------------------------------------------------


def test_without_a_key_or_the_permission_nothing_is_done(site: Door) -> None:
    deny, contain, before = denied(), contained(), site.counts()
    answer = post(site, deny, who="")
    assert (answer.status_code, answer.json()["body"]["openc2"]["response"]["status"]) == (401, 401)
    assert "Bearer" in answer.headers["www-authenticate"]
    assert status(site, deny, "viewer") == 403
    assert status(site, {"action": "delete", "target": {"slpf:rule_number": 1}}, "viewer") == 403
    assert status(site, {**contain, "action": "allow"}, "analyst") == 403
    assert site.counts() == before


def test_the_same_command_again_changes_nothing(site: Door) -> None:
    deny = denied()
    deny = in_incident(deny, judged(site, deny))
    first = told(site, deny)
    before = site.counts()
    assert told(site, deny).results["x-soar"]["run"] == first.results["x-soar"]["run"]
    assert site.counts() == before
    other = told(site, {**deny, "target": {"ipv4_net": "198.51.100.99"}})
    assert (other.status, other.results["x-soar"]["problems"][0]["code"]) == (400, "reused_id")


def test_without_a_command_id_the_request_id_counts_and_is_echoed(site: Door) -> None:
    deny = denied()
    del deny["command_id"]
    deny = in_incident(deny, judged(site, deny))
    answer = post(site, deny, request_id="req-7")
    assert (answer.headers["x-request-id"], answer.json()["headers"]["request_id"]) == ("req-7", "req-7")
    assert answer.json()["headers"]["to"] == "producer.example"
    run = told(site, deny, request_id="req-7").results["x-soar"]["run"]
    assert answer.json()["body"]["openc2"]["response"]["results"]["x-soar"]["run"] == run
    again = post(site, deny, **{"x-request-id": "req-7"})
    assert again.json()["body"]["openc2"]["response"]["results"]["x-soar"]["run"] == run
    assert told(site, {"action": "query", "target": {"command": "req-7"}}).results["x-soar"]["run"] == run
    assert post(site, deny, request_id="a", **{"x-request-id": "b"}).status_code == 400
    assert post(site, deny, **{"x-request-id": "a b"}).status_code == 400


def test_nobody_asks_after_the_commands_of_others(site: Door) -> None:
    deny = denied()
    told(site, deny)
    query = {"action": "query", "target": {"command": deny["command_id"]}}
    assert (status(site, query), status(site, query, "responder")) == (102, 404)


def test_no_response_is_sent_where_none_is_wanted(site: Door) -> None:
    answer = post(site, {**denied(), "args": {"response_requested": "none"}})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_service_may_command_and_what_it_commands_still_waits_for_persons(site: Door) -> None:
    site.keys["robot"] = site.house.store.write(
        lambda tx: people.issue_key(tx, ENGINE, service="robot", wanted=["analyst"])
    )
    contain = contained("ws-0152")
    assert approve(site, contain, "robot").status == 200


# --- what cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"action": "fly", "target": {"ipv4_net": BAD}}, 400),
        ({"action": "deny"}, 400),
        ({"action": "deny", "target": {"ipv4_net": "1.2.3.4.5"}}, 400),
        ([], 400),
        (None, 400),
        ({"action": "update", "target": {"file": {"name": "x"}}}, 501),
        ({"action": "query", "target": {"properties": ["battery"]}}, 501),
        ({"action": "allow", "target": {"slpf:rule_number": 3}}, 501),
        ({"action": "delete", "target": {"slpf:rule_number": 3}}, 404),
        ({"action": "delete", "target": {"slpf:rule_number": 3}, "args": {"x-soar": {"incident": "INC-99"}}}, 404),
        ({**denied(), "args": {"x-soar": {"incident": "INC-99"}}}, 404),
        ({**denied(), "args": {"duration": 0}}, 400),
        ({**denied(), "actuator": {"slpf": {"asset_id": "30"}}}, 404),
        ({**denied(), "actuator": {"x-acme": {}}}, 400),
    ],
)
def test_what_cannot_be_done_has_the_code_of_the_standard(site: Door, command: Any, code: int) -> None:
    before = site.counts()
    assert status(site, command) == code
    assert site.counts() == before


def test_the_actuator_that_would_do_it_may_be_named(site: Door) -> None:
    assert status(site, {**denied(), "actuator": {"slpf": {"asset_id": "lab"}}}) == 102


@pytest.mark.parametrize("kind", ["application/json", "application/openc2+json;version=2.0", "text/plain"])
def test_another_type_of_body_is_not_read(site: Door, kind: str) -> None:
    assert post(site, denied(), **{"content-type": kind}).status_code in (400, 415)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"body": {}}', b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_hostile_bodies_are_refused(site: Door, raw: bytes) -> None:
    headers = {"content-type": CONTENT_TYPE, "authorization": f"Bearer {site.keys['ana']}"}
    assert site.client.post(PATH, content=raw, headers=headers).status_code in (400, 413)


def test_a_closed_incident_takes_no_command(site: Door) -> None:
    deny = denied()
    where = judged(site, deny)
    site.house.store.write(lambda tx: incidents.update(tx, incidents.get(tx.conn, where).id, status="closed"))
    assert status(site, in_incident(deny, where)) == 400
