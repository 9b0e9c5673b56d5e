"""Nobody gets in without a key, and nobody does more than their roles allow."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter

from api.app import ROUTERS
from api.auth import Needs, check_guarded
from soar.access import APPROVAL_ROLES, ROLES
from soar.model import ENGINE
from soar.store import people
from soar.store.tables import keys
from tests.api.door import Door
from tests.api.test_errors import problem


def operations() -> list[tuple[str, str, str]]:
    """Method, path below /api/v1 with an id in each place, and permission of every guarded route."""
    found = []
    for router in ROUTERS:
        for route in router.routes:
            guards = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]  # type: ignore[attr-defined]
            if guards:
                path = re.sub(r"\{name\}", "verb:isolate_host", route.path)  # type: ignore[attr-defined]
                path = re.sub(r"\{\w+\}", "00000000-0000-7000-8000-000000000000", path)
                found += [(method, path, guards[0].permission) for method in sorted(route.methods)]  # type: ignore[attr-defined]
    return found


def body_of(method: str) -> Any:
    return None if method == "GET" else {}


def test_every_operation_of_the_description_is_guarded_or_known_to_be_open(door: Door) -> None:
    spec = door.client.get("/api/openapi.json").json()
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "*", path.removeprefix("/api/v1")))
        for path, found in spec["paths"].items()
        for method in found
    }
    guarded = {
        (method, re.sub(r"00000000-\S+?(?=/|$)|verb:isolate_host", "*", path)) for method, path, _ in operations()
    }
    assert described - guarded == {("GET", "/health"), ("POST", "/alerts/*")}
    assert len(guarded) > 40


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer soar_wrong",
        "Basic c29hcg==",
        "Bearer " + "x" * 10_000,
        "soar_wrong",
        "Bearer \xff",
    ],
)
def test_without_a_valid_key_every_route_says_the_same_401(door: Door, authorization: str) -> None:
    details = set()
    headers = {"authorization": authorization.encode("latin-1").decode("latin-1")} if authorization else {}
    for method, path, _ in operations() if not authorization else operations()[:3]:
        raw = None if method == "GET" else b"{}"
        sent = {**{k: v.encode("latin-1") for k, v in headers.items()}, "content-type": b"application/json"}
        answer = door.client.request(method, f"/api/v1{path}", content=raw, headers=sent)  # type: ignore[arg-type]
        details.add(problem(answer, 401, "unauthenticated")["detail"])
    assert len(details) == 1


@pytest.mark.parametrize("role", sorted(set(ROLES) - APPROVAL_ROLES))
def test_a_role_opens_exactly_the_routes_of_its_permissions(door: Door, role: str) -> None:
    for method, path, permission in operations():
        answer = door.call(method, path, role, body=body_of(method))
        if permission == "" or permission in ROLES[role]:
            assert answer.status_code not in (401, 403), (method, path)
            assert answer.status_code < 500, (method, path)
        else:
            said = problem(answer, 403, "forbidden")
            assert all(each in said["detail"] for each, may in ROLES.items() if permission in may)


def test_who_may_download_a_package_may_read_the_raw_evidence_in_it() -> None:
    may = {role for role, permissions in ROLES.items() if "package.read" in permissions}
    assert may == {role for role in may if "evidence.read" in ROLES[role]} == {"forensic"}


def test_a_viewer_writes_nothing(door: Door) -> None:
    writes = [(method, path) for method, path, _ in operations() if method != "GET"]
    before = door.counts()
    for method, path in writes:
        problem(door.call(method, path, "viewer", body={}), 403, "forbidden")
    assert door.counts() == before


def test_a_key_that_is_revoked_or_over_its_time_is_worth_nothing(door: Door) -> None:
    door.add("leaver", ["viewer"])
    assert door.call("GET", "/me", "leaver").status_code == 200
    mine = next(each for each in door.get("/people", "admin")["items"] if each["name"] == "leaver")
    assert door.call("POST", f"/keys/{mine['keys'][0]['id']}/revoke", "admin").status_code == 204
    problem(door.call("GET", "/me", "leaver"), 401, "unauthenticated")
    short = door.post(f"/people/{mine['id']}/keys", {"days": 1}, "admin", 201)
    door.keys["short"] = short["key"]
    assert door.call("GET", "/me", "short").status_code == 200
    past = door.house.store.clock.now() - timedelta(seconds=1)
    door.house.store.write(
        lambda tx: tx.conn.execute(keys.update().where(keys.c.id == short["id"]).values(expires_at=past)).rowcount
    )
    problem(door.call("GET", "/me", "short"), 401, "unauthenticated")


def test_a_service_may_have_the_role_but_never_votes(door: Door) -> None:
    door.keys["robot"] = door.house.store.write(
        lambda tx: people.issue_key(tx, ENGINE, service="robot", wanted=["responder"])
    )
    body = {"decision": "approve", "reason": "I am a robot", "digest": "0" * 64}
    said = problem(door.call("POST", "/approvals/x/votes", "robot", body=body), 403, "forbidden")
    assert "persons" in said["detail"]


def test_a_route_without_a_permission_stops_the_start() -> None:
    router = APIRouter()

    @router.get("/free")
    def free() -> None:
        """Asks nobody."""

    with pytest.raises(RuntimeError, match="/free has no permission"):
        check_guarded([*ROUTERS, router])


def test_a_permission_that_no_role_carries_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no role carries"):
        Needs("incident.raed")


def test_me_names_the_caller(door: Door) -> None:
    found = door.get("/me", "forensic")
    assert (found["name"], found["kind"], found["roles"]) == ("forensic", "person", ["forensic"])
    assert set(found["permissions"]) == ROLES["forensic"]
