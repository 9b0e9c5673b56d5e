"""A SIEM proves who it is on the raw bytes; a replay changes nothing; refusals are counted, not stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.app import create_app
from api.routes import alerts
from integrations.sources.samples import load_sample
from soar.config import Settings
from soar.errors import Invalid, NotFound
from tests.api.door import SECRET, Door
from tests.api.test_errors import problem

OTHER_SECRET = "whsec_b3RoZXItc2VjcmV0LW9mLXRlc3RzLTAwMDAwMDE="


def suricata_alert() -> bytes:
    return json.dumps(load_sample("suricata_c2", datetime.now(UTC), fresh=True)).encode()


def test_a_replay_gets_the_same_answer_and_changes_nothing(door: Door) -> None:
    alert = load_sample("elastic_encryption", datetime.now(UTC), fresh=True)
    first = door.elastic(alert, "replayed-1")
    assert first.status_code == 202
    before = door.counts()
    again = door.elastic(alert, "replayed-1")
    assert again.status_code == 202
    assert again.json() == {**first.json(), "replayed": True}
    assert door.counts() == before


def test_a_delivery_id_that_comes_with_another_body_is_a_conflict(door: Door) -> None:
    alert = load_sample("elastic_encryption", datetime.now(UTC), fresh=True)
    assert door.elastic(alert, "twice-1").status_code == 202
    alert["kibana.alert.risk_score"] = 1
    problem(door.elastic(alert, "twice-1"), 409, "conflict")


def test_a_signed_alert_is_taken_and_its_replay_too(door: Door) -> None:
    raw = suricata_alert()
    first = door.suricata(raw, "msg_signed")
    assert first.status_code == 202, first.text
    assert door.suricata(raw, "msg_signed").json()["replayed"] is True


def test_every_wrong_credential_and_an_unknown_source_get_the_same_answer(door: Door) -> None:
    raw, now = suricata_alert(), datetime.now(UTC)
    forged = door.suricata(raw, "m1", secret=OTHER_SECRET)
    changed = door.suricata(raw, "m2").request.headers
    refused = [
        forged,
        door.suricata(raw, "m3", at=now - timedelta(minutes=10)),
        door.suricata(raw, "m4", at=now + timedelta(minutes=10)),
        door.call("POST", "/alerts/suricata", raw=raw),
        door.call("POST", "/alerts/suricata", raw=raw + b" ", headers={
            name: changed[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}),
        door.elastic(json.loads(raw), token="wrong"),
        door.call("POST", "/alerts/elastic", raw=raw),
        door.call("POST", "/alerts/nobody", raw=raw),
        door.call("POST", "/alerts/suricata", "admin", raw=raw),
    ]  # fmt: skip
    assert len({problem(answer, 401, "unauthenticated")["detail"] for answer in refused}) == 1


def test_a_delivery_finds_no_route_and_is_answered_like_everybody(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = load_sample("elastic_encryption", datetime.now(UTC), fresh=True)
    wrong = problem(door.call("GET", "/alerts/elastic"), 405, "method_not_allowed")
    assert wrong["instance"] == "/api/v1/alerts/elastic"

    async def lost(*_: object) -> None:
        raise AssertionError("a route was looked for")

    monkeypatch.setattr(door.client.app.router, "middleware_stack", lost)  # type: ignore[attr-defined]
    taken = door.elastic(alert, "straight-1")
    assert taken.status_code == 202
    said = problem(door.elastic(alert, "straight-2", token="wrong"), 401, "unauthenticated")
    assert said["instance"] == "/api/v1/alerts/elastic"
    for answer in (taken, door.elastic(alert, "straight-2", token="wrong")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]
    assert door.call("POST", "/alerts/nobody", raw=b"{}").status_code == 500


def test_refusals_are_counted_and_written_down_at_most_once_a_minute(own_door: Door) -> None:
    door = own_door
    for _ in range(5):
        door.elastic({"secret": "body"}, token="wrong")
    door.elastic({"no": "alert"})
    for number in range(5):
        door.call("POST", f"/alerts/stranger-{number}", raw=b"{}")
    found = door.events("system.deliveries_refused")
    assert [event.data["source"] for event in found] == ["elastic", alerts.UNKNOWN]
    gate = door.client.app.state.gate  # type: ignore[attr-defined]
    assert gate.refusals.counts["elastic"] == {"unauthenticated": 4, "invalid": 1}
    gate.refusals.written["elastic"] -= timedelta(minutes=2)
    door.elastic({"secret": "body"}, token="wrong")
    last = door.events("system.deliveries_refused")[-1]
    assert last.data == {"source": "elastic", "refused": {"unauthenticated": 5, "invalid": 1}}
    assert "secret" not in str(last.values)


@pytest.mark.parametrize(
    ("secret", "kind", "error"),
    [("not-a-webhook-secret", "suricata", Invalid), (SECRET, "no-such-siem", NotFound), ("", "suricata", Invalid)],
)
def test_a_source_that_cannot_work_stops_the_start_and_shows_no_secret(
    door: Door, tmp_path: Path, secret: str, kind: str, error: type[Exception]
) -> None:
    reference = f"file:{tmp_path / 'given'}" if secret else "env:SOAR_NO_SUCH_SECRET"
    (tmp_path / "given").write_text(secret, encoding="utf-8")
    sources = {"siem": {"kind": kind, "auth": "standard-webhooks", "secrets": (reference,)}}
    settings = Settings(data=tmp_path / "data", sources=sources)
    with pytest.raises(error) as caught:
        create_app(replace(door.house, settings=settings))
    assert "not-a-webhook-secret" not in str(caught.value)
