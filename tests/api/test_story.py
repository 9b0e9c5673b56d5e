"""A containment through the door, from the plan to the package, with a simulated estate behind it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evidence.verify import verify
from integrations.estate.server import Lab, spawn
from integrations.sources.samples import load_sample
from soar.model import Observable
from soar.store import incidents
from tests.api.door import Door, knock
from tests.api.test_errors import problem

pytestmark = pytest.mark.alone  # one story told in order: its tests may not be dealt out to several workers

PLAN = {"playbook": "compromised-host", "inputs": {"watch_for": "1s"}}
LOOK_THEN_BLOCK = """
id: look-then-block
name: Look up, then block
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
variables:
  seen: {type: list, from: incident.observables, required: false}
steps:
  - {id: look, do: look_up, for_each: $seen, as: each, with: {observable: $each}}
  - {id: block, do: block_indicators, with: {from: incident}, lease: 7d}
  - {id: tell, do: notify, with: {team: on-call, text: "It is $look.verdict"}}
"""
START = {**PLAN, "reason": "two hosts are being encrypted"}


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with spawn(tmp_path_factory.mktemp("estate")) as lab:
        yield lab


@pytest.fixture(scope="module")
def site(estate: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A house with the estate, one incident that was looked up, and two responders."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "book.yaml").write_text(LOOK_THEN_BLOCK, encoding="utf-8")
    adapters = {"lab": {"kind": "lab", "url": estate.url}}
    with knock(folder, adapters=adapters, playbooks=(folder / "book.yaml",)) as door:
        door.add("bob", ["responder"])
        yield door


def log(estate: Lab) -> list[Any]:
    found: list[Any] = httpx2.get(f"{estate.url}/log", trust_env=False).json()["calls"]
    return found


def steps_of(nodes: list[Any]) -> dict[str, Any]:
    """Every step of a plan by its name, handlers left aside."""
    found: dict[str, Any] = {}
    for node in nodes:
        found.setdefault(node["step"], node)
        for branch in node.get("branches", []):
            found.update(steps_of(branch["steps"]))
    return found


@pytest.fixture(scope="module")
def incident(site: Door) -> str:
    now = site.house.store.clock.now()
    for name in ("elastic_encryption", "elastic_lateral"):
        answer = site.elastic(load_sample(name, now))
    site.work()
    return str(answer.json()["alerts"][0]["incident"])


def test_the_plan_tells_everything_and_touches_nothing(site: Door, estate: Lab, incident: str) -> None:
    before = site.counts(), [entry for entry in log(estate) if entry.get("changed")]
    plan = site.post(f"/incidents/{incident}/plan", PLAN)
    assert (site.counts(), [entry for entry in log(estate) if entry.get("changed")]) == before
    steps = steps_of(plan["steps"])
    isolate = {each["target"]: each for each in steps["isolate"]["actions"]}
    one = isolate["host:ws-0147"]
    assert (one["change"], one["undo"], one["state"]["present"]) == ("would isolate host", "release_host", False)
    assert (one["adapter"], one["class"], one["destroys"]) == ("lab", "B", ["connections"])
    assert one["approval"]["persons"] == 1
    assert set(one["approval"]["any_of"]) == {"asset_owner", "responder"}
    assert {finding["guard"] for finding in one["guards"]} >= {"kill_switch", "caps", "approval"}
    assert steps["scan"]["known_after"] == ["collect"]
    assert steps["clean"]["known_after"] == ["scan"]
    assert steps["release"]["known_after"] == ["isolate", "disable"]
    assert {each["verb"] for each in steps["release"]["actions"]} == {"release_host", "enable_account"}
    assert {each["verb"] for each in steps["block"]["actions"]} >= {"block_ip", "block_domain"}
    assert steps["contain"]["on_failure"][-1] == {"step": "collect", "kind": "continue"}
    assert steps["confirm"]["kind"] == "manual"


def test_what_may_not_be_blocked_yet_is_left_out_with_the_look_up_that_may_change_it(site: Door) -> None:
    incident = site.incident()
    seen = Observable(type="domain-name", value="new.example")
    site.house.store.write(lambda tx: incidents.add_observable(tx, incident, seen))
    plan = steps_of(site.post(f"/incidents/{incident}/plan", {"playbook": "look-then-block"})["steps"])
    assert plan["block"]["actions"] == []
    left_out = plan["block"]["left_out"][0]
    assert (left_out["observable"], left_out["known_after"]) == (seen.id, ["look"])
    assert "unknown" in left_out["why"]
    assert plan["tell"]["known_after"] == ["look"]


def test_a_plan_and_the_run_after_it_name_the_same_actions(site: Door, incident: str) -> None:
    plan = steps_of(site.post(f"/incidents/{incident}/plan", PLAN)["steps"])
    planned = {each["digest"] for name in ("isolate", "disable", "revoke") for each in plan[name]["actions"]}
    run = site.post(f"/incidents/{incident}/runs", START, status=201)
    site.work()
    asked = site.get("/approvals?status=open")["items"][0]
    approval = site.get(f"/approvals/{asked['id']}")
    assert {site.get(f"/actions/{each['id']}")["digest"] for each in approval["actions"]} == planned
    assert run["started_by"] == "ana"


def test_who_started_the_run_cannot_approve_it_and_the_try_is_remembered(site: Door, incident: str) -> None:
    asked = site.get("/approvals?status=open")["items"][0]
    ballot = {"decision": "approve", "reason": "mine", "digest": asked["digest"]}
    votes = site.counts()["votes"]
    said = problem(site.call("POST", f"/approvals/{asked['id']}/votes", "ana", body=ballot), 403, "refused")
    assert "started the run" in said["detail"]
    assert site.counts()["votes"] == votes
    tried = site.events("approval.voted", f"incident:{incident}")[-1]
    assert (tried.data["counted"], tried.data["decision"]) == (False, "approve")
    other = {**ballot, "digest": "0" * 64}
    problem(site.call("POST", f"/approvals/{asked['id']}/votes", "bob", body=other), 409, "conflict")
    done = site.post(f"/approvals/{asked['id']}/votes", ballot, "bob")
    assert done["status"] == "approved"
    assert [(vote["name"], vote["counts"]) for vote in done["votes"]] == [("bob", True)]
    problem(site.call("POST", f"/approvals/{asked['id']}/votes", "bob", body=ballot), 409, "conflict")


def test_what_was_contained_stands_in_the_register_with_its_holds(site: Door, incident: str) -> None:
    site.work()
    standing = site.get(f"/register?incident={incident}")["items"]
    assert {each["verb"] for each in standing} >= {"isolate_host", "disable_account", "block_ip"}
    assert all(each["holds"][0]["incident_id"] == incident for each in standing)
    listed = site.get(f"/actions?incident={incident}&standing=true&limit=500")["items"]
    assert {each["effect_id"] for each in (site.get(f"/actions/{row['id']}") for row in listed)} == {
        each["id"] for each in standing
    }
    steps = {each["step"]: each for each in site.get(f"/runs/{_run(site, incident)}")["steps"]}
    assert (steps["isolate"]["status"], steps["isolate"]["verb"]) == ("succeeded", "isolate_host")
    assert steps["scan"]["outputs"]["malware_found"] is True


def test_a_release_before_the_host_is_clean_is_refused_and_remembered(site: Door, incident: str) -> None:
    isolated = _action(site, incident, "isolate_host")
    body = {"reason": "recovered", "why": "it looks fine"}
    said = problem(site.call("POST", f"/actions/{isolated['id']}/release", "ana", body=body), 403, "refused")
    assert "verify_clean" in said["missing"][0]
    assert site.events("release.refused", f"incident:{incident}")[-1].data["action"] == isolated["id"]
    collected = _action(site, incident, "collect_evidence")
    problem(site.call("POST", f"/actions/{collected['id']}/release", "ana", body=body), 422, "invalid")
    doubt = {"happened": "yes", "reason": "seen"}
    problem(site.call("POST", f"/actions/{isolated['id']}/resolve", "ana", body=doubt), 409, "conflict")


def test_a_mistaken_containment_is_released_by_a_run_that_waits_for_a_second_person(site: Door, incident: str) -> None:
    isolated = _action(site, incident, "isolate_host")
    body = {"reason": "mistaken", "why": "wrong host"}
    begun = site.call("POST", f"/actions/{isolated['id']}/release", "ana", body=body)
    assert begun.status_code == 202
    site.work()
    assert site.get(f"/actions/{isolated['id']}")["state"] == "active"
    asked = next(each for each in site.get("/approvals?status=open")["items"] if each["run_id"] == begun.json()["run"])
    site.post(f"/approvals/{asked['id']}/votes", _ballot(asked), "bob")
    site.work()
    released = site.get(f"/actions/{isolated['id']}")
    assert (released["state"], len(released["undone_by"])) == ("reverted", 1)
    again = site.call("POST", f"/actions/{isolated['id']}/release", "ana", body=body)
    problem(again, 409, "conflict")


def test_a_reading_of_evidence_stands_in_its_custody(site: Door, incident: str) -> None:
    item = site.get(f"/incidents/{incident}/evidence", "forensic")["items"][0]
    path = f"/evidence/{item['id']}/content"
    problem(site.call("GET", path, "forensic"), 422, "invalid")
    answer = site.call("GET", f"{path}?purpose=reverse%20engineering", "forensic")
    assert hashlib.sha256(answer.content).hexdigest() == item["sha256"]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{item["exhibit"]}.bin"'
    custody = site.get(f"/evidence/{item['id']}", "forensic")["custody"]
    assert [each["act"] for each in custody] == ["acquired", "read"]
    assert (custody[1]["actor"], custody[1]["purpose"]) == ("person:forensic", "reverse engineering")
    problem(site.call("GET", f"{path}?purpose=curious", "ana"), 403, "forbidden")


def test_a_package_is_built_downloaded_and_verified_offline(site: Door, incident: str, tmp_path: Path) -> None:
    body = {"recipient": "State CERT", "purpose": "criminal complaint"}
    made = site.post(f"/incidents/{incident}/packages", body, "forensic", 201)
    read = site.events("evidence.read", f"incident:{incident}")
    problem(site.call("GET", f"/packages/{made['id']}/content", "auditor"), 403, "forbidden")
    assert site.events("evidence.read", f"incident:{incident}") == read
    answer = site.call("GET", f"/packages/{made['id']}/content", "forensic")
    (left,) = site.events("evidence.read", f"incident:{incident}")[len(read) :]
    assert left.data == {"package": made["id"], "act": "downloaded", "sha256": made["sha256"]}
    assert left.actor == f"person:{site.get('/me', 'forensic')['id']}"
    assert (hashlib.sha256(answer.content).hexdigest(), len(answer.content)) == (made["sha256"], made["size"])
    path = tmp_path / "package.zip"
    path.write_bytes(answer.content)
    found = verify(path, site.house.signer.public_key)
    assert found.problems == ()
    assert found.checked["events"] > 50
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        names = [name for name in packed.namelist() if "/custody/" in name]
        assert names
        assert b"State CERT" in packed.read(names[0])
    problem(site.call("GET", "/packages/nothing/content", "forensic"), 404, "not_found")


def test_the_incident_closes_only_when_every_containment_is_decided(site: Door, incident: str) -> None:
    for run in site.get(f"/incidents/{incident}")["runs"]:
        if run["status"] == "running":
            site.post(f"/runs/{run['id']}/cancel", {"reason": "enough shown"})
    body = {"resolution": "contained"}
    said = problem(site.call("POST", f"/incidents/{incident}/close", "ana", body=body), 409, "conflict")
    standing = site.get(f"/register?incident={incident}")["items"]
    assert {each["id"] for each in said["undecided"]} == {each["id"] for each in standing}
    held = next(each for each in standing if each["verb"] == "disable_account")
    kept = {"disposition": "kept_to_date", "why": "later"}
    problem(site.call("POST", f"/effects/{held['id']}/disposition", "ana", body=kept), 409, "conflict")
    for each in standing:
        what = "kept_to_date" if each["verb"].startswith("block_") else "handed_over"
        site.post(f"/effects/{each['id']}/disposition", {"disposition": what, "why": "decided"})
    assert site.post(f"/incidents/{incident}/close", body)["status"] == "closed"
    assert site.get("/audit/verify", "auditor")["problems"] == []


def _run(site: Door, incident: str) -> str:
    runs = site.get(f"/incidents/{incident}")["runs"]
    return str(next(run["id"] for run in runs if run["playbook"] == "compromised-host"))


def _action(site: Door, incident: str, verb: str) -> Any:
    listed = site.get(f"/actions?incident={incident}&limit=500")["items"]
    return next(each for each in reversed(listed) if each["verb"] == verb)


def _ballot(asked: Any) -> dict[str, str]:
    return {"decision": "approve", "reason": "seen", "digest": asked["digest"]}
