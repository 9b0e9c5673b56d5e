"""Incidents are judged, declared, noted and closed through the door; runs start once for one key."""

from __future__ import annotations

import pytest

from tests.api.door import Door
from tests.api.test_errors import problem

RUN = {"playbook": "triage-alert", "inputs": {}, "reason": "to see"}


def test_an_incident_is_found_by_id_and_by_name_and_the_list_goes_on_page_by_page(door: Door) -> None:
    made = [door.incident() for _ in range(3)]
    one = door.get(f"/incidents/{made[0]}")
    assert door.get(f"/incidents/{one['name']}")["id"] == made[0]
    page = door.get("/incidents?limit=2")
    assert [each["id"] for each in page["items"]] == [made[2], made[1]]
    following = door.get(f"/incidents?limit=2&after={page['next']}")
    assert following["items"][0]["id"] == made[0]
    seen, after = [], ""
    while after is not None:
        page = door.get(f"/incidents?limit=2{'&after=' + after if after else ''}")
        seen += [each["id"] for each in page["items"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == door.counts()["incidents"]


def test_a_judgement_needs_the_version_that_was_read(door: Door) -> None:
    incident = door.incident()
    answer = door.call("GET", f"/incidents/{incident}", "ana")
    tag = answer.headers["etag"]
    body = {"determination": "confirmed", "reason": "seen on the host"}
    first = door.call("POST", f"/incidents/{incident}/determine", "ana", body=body, headers={"if-match": tag})
    assert first.status_code == 200
    assert (first.json()["determination"], first.json()["confirmed_by"]) == ("confirmed", "ana")
    assert first.headers["etag"] != tag
    stale = door.call("POST", f"/incidents/{incident}/determine", "ana", body=body, headers={"if-match": tag})
    assert problem(stale, 409, "conflict")["version"] == first.json()["version"]
    assert len(door.events("incident.determined", f"incident:{incident}")) == 1


def test_whoever_confirms_again_does_not_free_the_first_one_to_vote(door: Door) -> None:
    incident = door.incident()
    body = {"determination": "confirmed", "reason": "seen on the host"}
    for who in ("ana", "responder"):
        assert door.post(f"/incidents/{incident}/determine", body, who)["confirmed_by"] == "ana"


def test_an_incident_is_declared_once_and_noted_often(door: Door) -> None:
    incident = door.incident()
    assert door.post(f"/incidents/{incident}/declare", {"why": "customers are hit"})["declared_by"] == "ana"
    problem(door.call("POST", f"/incidents/{incident}/declare", "ana", body={"why": "again"}), 409, "conflict")
    door.post(f"/incidents/{incident}/notes", {"text": "called the plant"}, status=204)
    assert door.events("incident.noted", f"incident:{incident}")[0].values == {"text": "called the plant"}


def test_the_events_come_in_order_and_by_cursor(door: Door) -> None:
    incident = door.incident()
    page = door.get(f"/incidents/{incident}/events?limit=3")
    assert [each["seq"] for each in page["items"]] == [0, 1, 2]
    following = door.get(f"/incidents/{incident}/events?limit=500&after={page['next']}")
    assert following["items"][0]["seq"] == 3
    assert following["next"] is None
    assert all(each["at"].endswith("Z") for each in following["items"])


def test_the_timeline_begins_with_detection(door: Door) -> None:
    found = door.get(f"/incidents/{door.incident()}/timeline")
    assert found["timeline"]["current"] == "detection"
    assert found["rows"][0]["phase"] == "detection"
    assert found["measures"]["opened_at"]


def test_the_same_idempotency_key_starts_one_run(door: Door) -> None:
    incident = door.incident()
    key = {"idempotency-key": "start-1"}
    first = door.call("POST", f"/incidents/{incident}/runs", "ana", body=RUN, headers=key)
    assert first.status_code == 201, first.text
    assert first.headers["location"] == f"/api/v1/runs/{first.json()['id']}"
    before = door.counts()
    again = door.call("POST", f"/incidents/{incident}/runs", "ana", body=RUN, headers=key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    other = door.call("POST", f"/incidents/{incident}/runs", "ana", body={**RUN, "reason": "else"}, headers=key)
    problem(other, 409, "conflict")
    assert door.counts() == before
    mine = door.call("POST", f"/incidents/{incident}/runs", "analyst", body=RUN, headers=key)
    assert mine.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f"])
def test_an_idempotency_key_that_is_none_is_refused(door: Door, key: str) -> None:
    answer = door.call("POST", "/incidents/INC-1/runs", "ana", body=RUN, headers={"idempotency-key": key})
    problem(answer, 422, "invalid")


def test_a_run_needs_inputs_that_the_playbook_knows(door: Door) -> None:
    incident = door.incident()
    answer = door.call("POST", f"/incidents/{incident}/runs", "ana", body={**RUN, "inputs": {"no_such": 1}})
    assert problem(answer, 422, "invalid")["problems"][0]["pointer"] == "/no_such"
    problem(door.call("POST", f"/incidents/{incident}/runs", "ana", body={**RUN, "playbook": "x"}), 404, "not_found")


def test_a_run_is_cancelled_once(door: Door) -> None:
    run = door.post(f"/incidents/{door.incident()}/runs", RUN, status=201)
    assert door.post(f"/runs/{run['id']}/cancel", {"reason": "mistaken"})["status"] == "cancelled"
    problem(door.call("POST", f"/runs/{run['id']}/cancel", "ana", body={"reason": "twice"}), 409, "conflict")


def test_an_incident_with_a_run_under_way_is_not_closed_and_a_closed_one_is_not_changed(door: Door) -> None:
    incident = door.incident()
    runs = [run["id"] for run in door.get(f"/incidents/{incident}")["runs"]]
    run = door.post(f"/incidents/{incident}/runs", RUN, status=201)["id"]
    body = {"resolution": "nothing there"}
    said = problem(door.call("POST", f"/incidents/{incident}/close", "ana", body=body), 409, "conflict")
    assert {each["id"] for each in said["undecided"]} == {*runs, run}
    for each in (*runs, run):
        door.post(f"/runs/{each}/cancel", {"reason": "over"})
    closed = door.post(f"/incidents/{incident}/close", body)
    assert (closed["status"], closed["phase"]) == ("closed", "post-incident")
    judged = {"determination": "confirmed", "reason": "late"}
    problem(door.call("POST", f"/incidents/{incident}/determine", "ana", body=judged), 409, "conflict")
    problem(door.call("POST", f"/incidents/{incident}/runs", "ana", body=RUN), 409, "conflict")
    problem(door.call("POST", f"/incidents/{incident}/close", "ana", body=body), 409, "conflict")
    door.post(f"/incidents/{incident}/notes", {"text": "lesson: patch earlier"}, status=204)
