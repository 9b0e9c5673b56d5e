"""Every error has one shape, and tells nothing of what is inside."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import errors
from soar import errors as tree
from soar.errors import SoarError
from tests.api.door import Answer, Door

MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id", "problems"}


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, checked for its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert set(said) >= MEMBERS
    assert (said["status"], said["code"], said["type"]) == (status, code, f"urn:soar:{code}")
    assert said["request_id"] == answer.headers["x-request-id"]
    return said


def test_a_path_that_is_not_there_and_a_method_that_is_not_allowed_answer_in_the_same_shape(door: Door) -> None:
    said = problem(door.call("GET", "/nothing/here", "ana"), 404, "not_found")
    assert said["instance"] == "/api/v1/nothing/here"
    answer = door.call("DELETE", "/incidents", "ana")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_an_object_that_is_not_there_is_404(door: Door) -> None:
    for path in ("/incidents/INC-99", "/runs/x", "/actions/x", "/approvals/x", "/tasks/x", "/playbooks/x"):
        problem(door.call("GET", path, "ana"), 404, "not_found")


def test_without_a_key_the_answer_says_how_to_show_one(door: Door) -> None:
    answer = door.call("GET", "/incidents")
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_does_not_fit_is_named_place_by_place(door: Door) -> None:
    body = {"playbook": 5, "inputs": [], "surprise": 1}
    said = problem(door.call("POST", "/incidents/INC-1/runs", "ana", body=body), 422, "invalid")
    assert {each["pointer"] for each in said["problems"]} == {"/playbook", "/inputs", "/reason", "/surprise"}
    said = problem(door.call("GET", "/incidents?limit=501&after=%00", "ana"), 422, "invalid")
    assert {each["pointer"] for each in said["problems"]} == {"query.limit", "query.after"}
    said = problem(door.call("GET", "/runs/%00", "ana"), 422, "invalid")
    assert said["problems"][0]["pointer"] == "path.run"


def test_the_values_that_did_not_fit_are_not_sent_back(door: Door) -> None:
    answer = door.call("POST", "/people", "admin", body={"name": "<script>alert(1)</script>", "roles": []})
    problem(answer, 422, "invalid")
    assert "script" not in answer.text


def test_what_nobody_foresaw_is_500_with_the_request_id_and_nothing_else(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: Any) -> None:
        raise RuntimeError("secret of /etc/house")

    monkeypatch.setattr("api.routes.incidents.paging.page", burst)
    answer = door.call("GET", "/incidents", "ana")
    said = problem(answer, 500, "internal")
    assert said["request_id"] in said["detail"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_house_that_cannot_answer_now_says_when_to_come_again_and_no_statement(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise tree.Unavailable("INSERT INTO incidents ... disk I/O error")

    monkeypatch.setattr("api.routes.incidents.paging.page", gone)
    answer = door.call("GET", "/incidents", "ana")
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "INSERT" not in answer.text


def test_every_error_of_the_tree_has_a_status(door: Door) -> None:
    todo: list[type[SoarError]] = [SoarError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        answer = errors.answer(kind("x"), {"type": "http", "path": "/"})
        assert 400 <= answer.status_code < 600
        assert answer.status_code >= 500 or kind is not SoarError


def test_every_answer_carries_the_security_headers(door: Door) -> None:
    for answer in (door.call("GET", "/health"), door.call("GET", "/incidents"), door.call("GET", "/incidents", "ana")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_of_the_api_loads_nothing_from_elsewhere(door: Door) -> None:
    client: TestClient = door.client
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "://" not in page.text
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"):
        assert client.get(f"/api/docs/{asset}").status_code == 200
    problem(client.get("/api/docs/index.j2"), 404, "not_found")
    problem(client.get("/api/docs/..%2f__init__.py"), 404, "not_found")


def test_every_operation_is_described_with_its_problems(door: Door) -> None:
    spec = door.client.get("/api/openapi.json").json()
    assert "Problem" in spec["components"]["schemas"]
    assert "HTTPValidationError" not in str(spec)
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            assert any(code.startswith("2") for code in operation["responses"]), where
            problems = [each for code, each in operation["responses"].items() if code >= "400"]
            assert problems, where
            assert all("application/problem+json" in each["content"] for each in problems), where
            assert path == "/api/v1/health" or operation["security"], where
