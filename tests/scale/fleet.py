"""A fleet of real processes on one database and one broker, and the test's own way in beside them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from api.engine import Engine, assemble
from api.wiring import _bells
from integrations.estate.server import Lab
from soar.config import Settings
from soar.engine import running
from soar.model import Actor, Entity, EntityKind, ScopeStatus, Severity
from soar.playbook.model import Soar, one_step
from soar.store import incidents, runs
from soar.store.session import Tx
from soar.store.tables import actions, nodes
from tests.conftest import ROOT
from tests.stage import until


@dataclass
class Member:
    """One process of the fleet. What it says goes to files, so that no pipe ever fills."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def ready(self) -> str:
        """Wait for its READY line; returns what it says behind that."""
        said = until(lambda: self.process.poll() is not None or self.out.read_text(), 60)
        assert self.out.read_text().startswith("READY "), (said, self.err.read_text()[-3000:])
        return self.out.read_text().split()[1]

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def said(self) -> str:
        return self.err.read_text()

    def health(self) -> httpx2.Response:
        return httpx2.get(f"{self.ready()}/api/v1/health", trust_env=False, timeout=20)

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(each) for each in listed.split()]


@dataclass
class Fleet:
    """Starts members on one set of settings; all are ended at the end of the test."""

    folder: Path
    database: str
    broker: str
    lab: Lab | None = None
    more: dict[str, Any] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)

    def settings(self) -> Settings:
        given: dict[str, Any] = {
            "data": self.folder / "data", "database_url": self.database, "broker_url": self.broker, "workers": 2,
            "claim_seconds": 1.0,
            "guards": {"hard": {"names": ("soar*",)}, "same_day_issuer": "bootstrap", "evidence_box": 0.0},
            **self.more,
        }  # fmt: skip
        if self.lab is not None:
            given["adapters"] = {"lab": {"kind": "lab", "url": self.lab.url, "timeout": 10}}
        return Settings(**given)

    def serve(self, **changed: str) -> Member:
        return self._start("api.serve", ["--port", "0"], changed)

    def worker(self, **changed: str) -> Member:
        return self._start("api.node", ["--concurrency", "2"], changed)

    def engine(self) -> Engine:
        """The test's own hands on the database; it rings as a node does, and works not at all."""
        settings = self.settings()
        engine = Engine(**assemble(settings, "test"), bells=_bells(settings))
        engine.start()
        return engine

    def end(self) -> None:
        for member in self.members:
            member.process.kill()
            member.process.wait()

    def _start(self, module: str, words: list[str], changed: dict[str, str]) -> Member:
        number = len(self.members)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        env = {name: value for name, value in os.environ.items() if not name.startswith("SOAR_")}
        wanted = json.loads(self.settings().model_dump_json(exclude={"server"}))
        urls = {"database_url": self.database, "broker_url": self.broker, **changed}
        for name, value in {**wanted, **urls}.items():
            env[f"SOAR_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        with out.open("wb") as to, err.open("wb") as log:
            command = [sys.executable, "-m", module, "--with-parent", *words]
            process = subprocess.Popen(command, stdout=to, stderr=log, cwd=ROOT, env=env)
        member = Member(f"{module} {number}", process, out, err)
        self.members.append(member)
        return member


@dataclass
class Town:
    """A fleet that works: one service, one node, and the test's own engine."""

    fleet: Fleet
    serve: Member
    worker: Member
    engine: Engine

    def begin(self, host: str = "ws-0160") -> str:
        """Start a run that isolates a host, on a fresh incident; returns its id."""
        by = Actor(kind="person", id="alice", name="alice", roles=frozenset(["responder"]))
        entity = Entity(kind=EntityKind.HOST, id=host, name=host, source="lab:inventory")
        step = Soar(slug="isolate", verb="isolate_host", with_={"host": host}, review=3600)

        def write(tx: Tx) -> str:
            where = incidents.open_new(tx, "drill", Severity.HIGH, by, "drill")
            incidents.add_scope(tx, where, entity, ScopeStatus.AFFECTED, tx.now)
            book = one_step("isolate", "isolate", step)
            return running.start_run(tx, where, book, {}, by=by, why="drill", automatic=False)

        return self.engine.store.write(write)

    def status(self, run: str) -> str:
        with self.engine.store.read() as conn:
            return str(runs.get(conn, run).status)

    def run(self) -> float:
        """Seconds from the start of a run to its end; the test fails when it does not end well."""
        began = time.monotonic()
        run = self.begin()
        assert until(lambda: self.status(run) == "succeeded"), self.status(run) + self.worker.said()[-3000:]
        return time.monotonic() - began

    def states(self) -> set[str]:
        """The states that any action of this town is in."""
        with self.engine.store.read() as conn:
            return set(conn.execute(sa.select(actions.c.state)).scalars())

    def dropped(self) -> int:
        """How many messages the nodes could make nothing of, as they last said."""
        with self.engine.store.read() as conn:
            return int(conn.execute(sa.select(sa.func.sum(nodes.c.dropped))).scalar() or 0)


def passwords(*urls: str) -> set[str]:
    return {found[1] for url in urls if (found := re.search(r":([^:@/]+)@", url))}
