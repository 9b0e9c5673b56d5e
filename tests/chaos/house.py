"""What the processes of one story share: settings, database, playbook, incidents, and a key to the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from api.first import open_store
from api.migrate import migrate
from soar.config import Settings
from soar.model import ENGINE, Entity, EntityKind, ScopeStatus, Severity
from soar.store import incidents, people
from soar.store.session import Store, Tx
from tests.crash.target import Target

CELL = "chaos"
CLAIM = 1.0
"""Seconds that a claim holds."""
TOGETHER = 5
"""So many runs share an incident, and so the stream of its events."""
SLUG, GATED = "chaos", "chaos-gated"
STEPS = (
    ("look", "verify_clean", "{host: $host}", ""),
    ("cut", "quarantine_file", "{host: $host, path: /tmp/dropper}", ", review: 24h"),
    ("lock", "disable_account", "{account: $account}", ", review: 24h"),
    ("script", "apply_workaround", "{host: $host, change: close-share}", ""),
    ("consent", "revoke_consent", "{account: $account, app: mailer}", ""),
    ("check", "verify_clean", "{host: $host}", ""),
)
"""A read, two that set a state, one that takes our key, one that is unsafe to repeat, and a read."""
_HEAD = """name: Chaos
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
variables:
  host: {type: str}
  account: {type: str}
steps:
"""


@dataclass(frozen=True, slots=True)
class House:
    """One installation: where its database, its broker and its target are."""

    folder: Path
    target: Target
    database: str = ""
    broker: str = ""
    cell: str = CELL
    """The name under which the target keeps what this house does."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def playbooks(self) -> tuple[Path, ...]:
        """One that runs through, and one that waits for an approval first."""
        return self.folder / f"{SLUG}.yaml", self.folder / f"{GATED}.yaml"

    def settings(self) -> Settings:
        """The settings of every process of this house."""
        return Settings.model_validate(
            {
                "data": self.data, "database_url": self.database, "broker_url": self.broker, "workers": 4,
                "claim_seconds": CLAIM, "playbooks": self.playbooks,
                "adapters": {"target": {"kind": "chaos", "socket": str(self.target.path), "cell": self.cell}},
                "guards": {"hard": {"names": ("soar*",)}, "evidence_box": 0.0},
            }
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """The same for a process of its own."""
        plain: dict[str, Any] = json.loads(self.settings().model_dump_json(exclude={"server"}))
        plain |= {"database_url": self.database, "broker_url": self.broker}
        return {
            f"SOAR_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in plain.items()
        }

    def prepare(self, runs: int) -> tuple[str, list[str]]:
        """Make the database, with the incidents for so many runs; returns a key, and the incident of each run."""
        self.data.mkdir(mode=0o700, parents=True)
        for slug, path in zip((SLUG, GATED), self.playbooks, strict=True):
            path.write_bytes(book(slug))
        migrate(self.settings().url)
        with self.store() as store:
            groups = [range(first, min(first + TOGETHER, runs)) for first in range(0, runs, TOGETHER)]
            opened = [store.write(partial(_open, numbers=group)) for group in groups]
            return store.write(_key), [opened[number // TOGETHER] for number in range(runs)]

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The test's own way to the database, for a while; not beside a process that owns a SQLite file."""
        store = open_store(self.settings())
        try:
            yield store
        finally:
            store.close()


def book(slug: str) -> bytes:
    """The playbook of this name; the gated one wants an approval of everything that it does."""
    asks = ", approval: {any_of: [responder], persons: 1, within: 30d, on_timeout: deny}" if slug == GATED else ""
    lines = [f"  - {{id: {name}, do: {verb}, with: {given}{more}{asks}}}\n" for name, verb, given, more in STEPS[1:]]
    first = "  - {id: look, do: verify_clean, with: {host: $host}}\n"
    return f"id: {slug}\n{_HEAD}{first}{''.join(lines)}".encode()


def host(number: int) -> str:
    """The host of a run: it has it alone."""
    return f"ws-{number:05}"


def account(number: int) -> str:
    """The account of a run."""
    return f"user-{number:05}"


def _key(tx: Tx) -> str:
    person = people.add_person(tx, "siem", ["responder", "auditor"], ENGINE)
    return people.issue_key(tx, ENGINE, person_id=person)


def _open(tx: Tx, numbers: range) -> str:
    incident = incidents.open_new(tx, f"Chaos from {numbers[0]}", Severity.HIGH, ENGINE, "drill")
    for number in numbers:
        for kind, name in ((EntityKind.HOST, host(number)), (EntityKind.ACCOUNT, account(number))):
            entity = Entity(kind=kind, id=name, name=name, source="target")
            incidents.add_scope(tx, incident, entity, ScopeStatus.AFFECTED, tx.now)
    return incident
