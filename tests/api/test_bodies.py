"""Malformed bodies of every kind are refused with a place, and leave nothing behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from api.body import MAX_BODY
from tests.api.door import SECRET, TOKEN, Door
from tests.api.test_errors import problem

MALFORMED: dict[str, bytes] = {
    "truncated": b'{"playbook": "tri',
    "duplicate keys": b'{"reason": "a",\n "reason": "b"}',
    "NaN": b'{"reason": NaN}',
    "infinity": b'{"reason": 1e999}',
    "NUL": b'{"reason": "a\\u0000b"}',
    "lone surrogate": b'{"reason": "\\ud800"}',
    "not UTF-8": b'{"reason": "\xff\xfe"}',
    "byte order mark": b'\xef\xbb\xbf{"reason": "a"}',
    "two documents": b"{} {}",
    "not JSON at all": b"<xml/>",
    "bare NUL": b"\x00",
}
TOO_LARGE: dict[str, bytes] = {
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "two megabytes": b'{"reason": "' + b"a" * 2 * MAX_BODY + b'"}',
    "many values": b"[" + b"1," * 300_000 + b"1]",
}
WRONG_TYPES = [b"null", b"[]", b'"x"', b"5", b"true", b'{"playbook": [], "inputs": 1, "reason": {}}']


@pytest.mark.parametrize("name", MALFORMED)
def test_a_json_route_refuses_what_is_not_json_of_one_meaning(door: Door, name: str) -> None:
    before = door.counts()
    said = problem(door.call("POST", "/incidents/INC-1/runs", "ana", raw=MALFORMED[name]), 400, "malformed")
    assert said["problems"][0]["line"] >= 1
    assert door.counts() == before


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_json_route_refuses_what_is_too_large_or_too_deep(door: Door, name: str) -> None:
    problem(door.call("POST", "/incidents/INC-1/runs", "ana", raw=TOO_LARGE[name]), 413, "too_large")


@pytest.mark.parametrize("body", WRONG_TYPES)
def test_a_json_route_refuses_other_types_without_an_error_of_its_own(door: Door, body: bytes) -> None:
    problem(door.call("POST", "/incidents/INC-1/runs", "ana", raw=body), 422, "invalid")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ";;;"},
    ],
)
def test_another_type_of_body_is_refused_at_both_doors(door: Door, headers: dict[str, str]) -> None:
    answer = door.call("POST", "/incidents/INC-1/runs", "ana", raw=b"{}", headers=headers)
    problem(answer, 415, "unsupported_media_type")
    proved = {**headers, "authorization": f"Bearer {TOKEN}"}
    problem(door.call("POST", "/alerts/elastic", raw=b"{}", headers=proved), 415, "unsupported_media_type")


def test_a_body_that_is_longer_than_it_says_is_cut_off_at_the_cap(door: Door) -> None:
    def pieces() -> object:
        for _ in range(40):
            yield b" " * 65_536

    for path, key in (("/incidents/INC-1/notes", door.keys["ana"]), ("/alerts/elastic", TOKEN)):
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        answer = door.client.post(f"/api/v1{path}", content=pieces(), headers=headers)  # type: ignore[arg-type]
        problem(answer, 413, "too_large")


@pytest.mark.parametrize("name", [*MALFORMED, *TOO_LARGE])
def test_a_webhook_refuses_the_same_and_stores_nothing(door: Door, name: str) -> None:
    body = {**MALFORMED, **TOO_LARGE}[name]
    status = (400, "malformed") if name in MALFORMED else (413, "too_large")
    before = {**door.counts(), "events": 0, "unsealed": 0, "event_values": 0}
    headers = {"authorization": f"Bearer {TOKEN}"}
    problem(door.call("POST", "/alerts/elastic", raw=body, headers=headers), *status)
    if len(body) <= MAX_BODY:
        problem(door.suricata(body, f"msg_{abs(hash(name))}"), *status)
    assert {**door.counts(), "events": 0, "unsealed": 0, "event_values": 0} == before


@pytest.mark.parametrize("body", [*WRONG_TYPES, b"{}", b'{"alerts": [1, {}]}', b'{"kibana.alert.uuid": {"a": []}}'])
def test_a_webhook_refuses_json_that_is_no_alert(door: Door, body: bytes) -> None:
    before = door.counts()["alerts"]
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = door.call("POST", "/alerts/elastic", raw=body, headers=headers)
    if answer.status_code != 202:
        problem(answer, 422, "invalid")
    assert door.suricata(body, f"bad_{len(body)}").status_code in (202, 422)
    assert door.counts()["alerts"] == before


def test_an_unproved_sender_is_not_even_read(door: Door) -> None:
    answer = door.call("POST", "/alerts/elastic", raw=MALFORMED["NaN"], headers={"authorization": "Bearer wrong"})
    problem(answer, 401, "unauthenticated")
    later = datetime.now(UTC)
    assert door.suricata(MALFORMED["NaN"], "msg_x", later, SECRET).status_code == 400


def test_a_body_where_none_is_needed_is_still_read_strictly(door: Door) -> None:
    problem(door.call("POST", "/keys/x/revoke", "admin", raw=b"{]"), 400, "malformed")
    problem(door.call("POST", "/keys/x/revoke", "admin", raw=json.dumps({}).encode()), 404, "not_found")
