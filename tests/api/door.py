"""Builds a house for the tests of the HTTP door, and speaks to it in process."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from api.app import create_app
from api.wiring import House, build
from soar import webhooks
from soar.access import ROLES
from soar.config import Settings
from soar.engine.due import fire_due
from soar.engine.runner import Runner
from soar.model import ENGINE
from soar.store import people, streams
from soar.store.session import Tx
from soar.store.tables import metadata
from soar.store.work import Owner

TOKEN = "elastic-token-of-these-tests"
SECRET = "whsec_c29hci1hcGktdGVzdHMtc2VjcmV0LTAwMDE="
Answer = httpx2.Response


@dataclass(slots=True)
class Door:
    """The client, the house behind it, and a key for each role (and each person that was added)."""

    client: TestClient
    house: House
    keys: dict[str, str] = field(default_factory=dict)

    def call(
        self, method: str, path: str, who: str = "", *, body: Any = None, raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One call below /api/v1, as somebody; `raw` is sent as it is."""
        given = dict(headers or {})
        if who:
            given["authorization"] = f"Bearer {self.keys[who]}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            given.setdefault("content-type", "application/json")
        return self.client.request(method, f"/api/v1{path}", content=raw, headers=given)

    def get(self, path: str, who: str = "ana") -> Any:
        """What stands there; the test fails unless it can be read."""
        answer = self.call("GET", path, who)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, who: str = "ana", status: int = 200) -> Any:
        """The decoded answer of a call that must end with this status."""
        answer = self.call("POST", path, who, body=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def add(self, name: str, roles: list[str]) -> str:
        """A person with a key; returns the person's id."""
        person = self.post("/people", {"name": name, "roles": roles}, "admin", 201)
        self.keys[name] = self.post(f"/people/{person['id']}/keys", {}, "admin", 201)["key"]
        return str(person["id"])

    def elastic(self, document: Any, delivery: str = "", token: str = TOKEN) -> Answer:
        """Post as Elastic's connector does."""
        headers = {"authorization": f"Bearer {token}", **({"x-request-id": delivery} if delivery else {})}
        return self.call("POST", "/alerts/elastic", body=document, headers=headers)

    def suricata(self, raw: bytes, delivery: str, at: datetime | None = None, secret: str = SECRET) -> Answer:
        """Post as a signing forwarder does."""
        headers = webhooks.sign(webhooks.secret_bytes(secret), delivery, at or datetime.now(UTC), raw)
        return self.call("POST", "/alerts/suricata", raw=raw, headers=headers)

    def incident(self) -> str:
        """A fresh incident, from an alert that has nothing in common with any other."""
        unique = secrets.token_hex(8)
        alert = {
            "@timestamp": datetime.now(UTC).isoformat(),
            "kibana.alert.uuid": unique,
            "kibana.alert.rule.rule_id": "rule-1",
            "kibana.alert.severity": "high",
            "host.name": f"ws-{unique}",
        }
        taken = self.elastic(alert).json()["alerts"][0]
        assert taken["outcome"] == "opened"
        return str(taken["incident"])

    def events(self, kind: str, stream: str = "system") -> list[Any]:
        """The events of a kind, as their stored bodies."""
        with self.house.store.read() as conn:
            return [event for event in streams.read(conn, stream) if event.kind == kind]

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        with self.house.store.read() as conn:
            return {
                table.name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }

    def work(self) -> None:
        """Do everything that can be done now, here and in order."""
        runner = Runner(self.house.parts, Owner("tests"))
        busy = True
        while busy:
            busy = runner.work_once() or bool(fire_due(self.house.parts))


def _everybody(tx: Tx) -> dict[str, str]:
    """A person of each role, and ana; their keys."""
    people_of = {role: [role] for role in ROLES if role != "admin"} | {"ana": ["analyst", "responder"]}
    return {
        name: people.issue_key(tx, ENGINE, person_id=people.add_person(tx, name, wanted, ENGINE))
        for name, wanted in people_of.items()
    }


def unlock(conn: sa.Connection) -> None:
    """Take the triggers away that keep events as they are, as somebody at the database could."""
    for trigger in conn.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
        conn.execute(sa.text(f"DROP TRIGGER {trigger}"))


@contextmanager
def knock(folder: Path, **settings: Any) -> Iterator[Door]:
    """Build a house and open its door; `ana` is analyst and responder, each role has a person of its name."""
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    (folder / "secret").write_text(SECRET, encoding="utf-8")
    sources = {
        "elastic": {"kind": "elastic", "auth": "bearer", "secrets": (f"file:{folder}/token",)},
        "suricata": {"kind": "suricata", "auth": "standard-webhooks", "secrets": (f"file:{folder}/secret",)},
    }
    given = {"guards": {"hard": {"names": ("soar*",)}, "soft": {"tags": ("protected",)}}, **settings}
    house = build(Settings(data=folder / "data", sources=sources, **given))
    try:
        client = TestClient(create_app(house), raise_server_exceptions=False)
        opened = Door(client, house, {"admin": house.first_key or ""})
        opened.keys |= house.store.write(_everybody)
        yield opened
    finally:
        house.close()
