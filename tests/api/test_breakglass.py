"""The door of break-glass: HTTP and command line."""

from __future__ import annotations

import json

import pytest

from tests.api.cli_desk import scripted, soar
from tests.api.door import Door


def test_it_is_asked_for_by_one_and_approved_by_another_over_http(door: Door) -> None:
    incident = door.incident()
    asked = door.post("/break-glass", {"incident": incident, "reason": "the plant is burning"}, "responder", 201)
    assert (asked["status"], asked["asked_by"], asked["approved_by"]) == ("asked", "responder", "")
    own = door.call("POST", f"/break-glass/{asked['id']}/approve", "responder", body={"reason": "me again"})
    assert own.status_code == 403
    assert "persons are counted" in own.json()["detail"]
    opened = door.post(f"/break-glass/{asked['id']}/approve", {"reason": "yes"}, "commander")
    assert (opened["status"], opened["approved_by"]) == ("open", "commander")
    assert door.get(f"/break-glass?incident={incident}")["items"] == [door.get(f"/break-glass/{asked['id']}")]
    again = door.call("POST", "/break-glass", "responder", body={"incident": incident, "reason": "more"})
    assert again.status_code == 409
    ended = door.post(f"/break-glass/{asked['id']}/end", {"reason": "contained"}, "responder")
    assert (ended["status"], ended["ended_by"], ended["end_reason"]) == ("ended", "responder", "contained")
    kinds = [task["kind"] for task in door.get(f"/tasks?incident={incident}&status=open")["items"]]
    assert "break_glass_review" in kinds


def test_only_who_may_vote_may_ask_and_a_reason_is_wanted(door: Door) -> None:
    body = {"incident": door.incident(), "reason": "why"}
    for who in ("viewer", "analyst", "auditor", "admin", "source"):
        assert door.call("POST", "/break-glass", who, body=body).status_code == 403
    assert door.call("POST", "/break-glass", "responder", body={**body, "reason": " "}).status_code == 422
    assert door.call("POST", "/break-glass", "responder", body={**body, "minutes": 999}).status_code == 422
    assert door.call("POST", "/break-glass", "responder", body={**body, "incident": "INC-99999"}).status_code == 404
    assert door.call("POST", "/break-glass/nothing/approve", "commander", body={"reason": "x"}).status_code == 404
    assert door.call("GET", "/break-glass", "source").status_code == 403


def test_the_command_line_asks_and_approves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted() as desk:
        monkeypatch.setenv("SOAR_URL", desk.url)
        monkeypatch.setenv("SOAR_KEY", "soar_secret")
        desk.answer("POST", "/break-glass", {"id": "g1", "status": "asked"}, status=201)
        for verb in ("approve", "deny", "end"):
            desk.answer("POST", f"/break-glass/g1/{verb}", {"id": "g1", "status": verb})
        desk.answer("GET", "/break-glass", {"items": [{"id": "g1", "status": "open"}], "next": None})
        assert soar("breakglass", "ask", "INC-7", "--reason", "fire", "-o", "json") == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["status"] == "asked"
        assert "second person" in said.err
        for verb in ("approve", "deny", "end"):
            assert soar("breakglass", verb, "g1", "--reason", "so", "-o", "json") == 0
        assert soar("breakglass", "list", "--incident", "INC-7", "-o", "json") == 0
        assert [(each.method, each.path, each.body) for each in desk.asked] == [
            ("POST", "/break-glass", {"incident": "INC-7", "reason": "fire"}),
            ("POST", "/break-glass/g1/approve", {"reason": "so"}),
            ("POST", "/break-glass/g1/deny", {"reason": "so"}),
            ("POST", "/break-glass/g1/end", {"reason": "so"}),
            ("GET", "/break-glass?incident=INC-7", None),
        ]
