"""The demo's stage: an estate, a service in its own process, and persons with keys of their own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import httpx2

from integrations.estate.server import Lab, spawn
from soar import webhooks

MARKER = "soar-demo"
ELASTIC_TOKEN = "demo-elastic-token-of-this-folder-only"  # noqa: S105 - it opens a service on loopback for a minute
SURICATA_SECRET = "whsec_c29hci1kZW1vLXN1cmljYXRhLXNlY3JldC0wMDAx"  # noqa: S105 - likewise
SETTINGS = """\
data = "{data}"
origin = "demo.soar.example"
workers = 4

[server]
port = 0

[sources.elastic]
kind = "elastic"
auth = "bearer"
secrets = ["file:{folder}/elastic.token"]

[sources.suricata]
kind = "suricata"
auth = "standard-webhooks"
secrets = ["file:{folder}/suricata.secret"]

[adapters.lab]
kind = "lab"
url = "{lab}"
timeout = 5

[guards]
same_day_issuer = "bootstrap"

[guards.hard]
names = ["soar*"]
networks = ["127.0.0.0/8"]

[guards.soft]
tags = ["protected"]

[guards.caps.isolate_host]
per_run = 5
per_hour = 20
"""


class StageError(RuntimeError):
    """The stage could not be set; the demo cannot be shown."""


@dataclass(slots=True)
class Person:
    """Somebody with a key, who talks to the service over HTTP."""

    name: str
    key: str
    stage: Stage

    def get(self, path: str) -> tuple[int, Any]:
        return self.stage.call("GET", path, key=self.key)

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        return self.stage.call("POST", path, key=self.key, body=json.dumps(body).encode())

    def put(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        return self.stage.call("PUT", path, key=self.key, body=json.dumps(body).encode())


class Stage:
    """Starts, kills and restarts what the demo plays on. Everything is loopback and ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = _clean(folder)
        self._lock = _own(self.folder)
        self.lab: Lab = spawn(self.folder / "lab")
        (self.folder / "elastic.token").write_text(ELASTIC_TOKEN, encoding="utf-8")
        (self.folder / "suricata.secret").write_text(SURICATA_SECRET, encoding="utf-8")
        self.config = self.folder / "soar.toml"
        text = SETTINGS.format(data=self.folder / "data", folder=self.folder, lab=self.lab.url)
        self.config.write_text(text, encoding="utf-8")
        self.http = httpx2.Client(trust_env=False, timeout=30)
        self.url = ""
        self.first_key = ""
        self._service: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start the service; returns the seconds until it answered."""
        began = time.monotonic()
        self._said = (self.folder / "service.log").open("a+", encoding="utf-8")
        where = self._said.tell()
        self._service = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            [sys.executable, "-m", "api.serve", "--config", str(self.config), "--with-parent"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said, text=True, start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("SOAR_")},
        )  # fmt: skip
        assert self._service.stdout is not None
        line = self._service.stdout.readline()
        if not line.startswith("READY "):
            raise StageError(f"the service did not start:\n{(self.folder / 'service.log').read_text()[where:]}")
        self.url = line.split()[1]
        shown = re.search(r"soar_[A-Za-z0-9_-]{43}", (self.folder / "service.log").read_text(encoding="utf-8")[where:])
        self.first_key = shown.group(0) if shown else self.first_key
        return time.monotonic() - began

    def kill(self) -> int:
        """SIGKILL the service, as a power cut would; returns its process id."""
        assert self._service is not None
        self._service.send_signal(signal.SIGKILL)
        self._service.wait()
        return self._service.pid

    def close(self) -> None:
        """End everything that was started."""
        self.http.close()
        self._lock.close()
        if self._service is not None and self._service.poll() is None:
            self._service.terminate()
            try:
                self._service.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait()
        self.lab.stop()

    def person(self, admin: Person, name: str, roles: list[str]) -> Person:
        """Add a person with roles and give them a key."""
        status, made = admin.post("/people", {"name": name, "roles": roles})
        if status != 201:
            raise StageError(f"{name} could not be added: {made}")
        _, key = admin.post(f"/people/{made['id']}/keys", {"days": 1})
        return Person(name, key["key"], self)

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One HTTP call to the service: status and decoded answer."""
        given = {"content-type": "application/json", **(headers or {})}
        if key:
            given["authorization"] = f"Bearer {key}"
        answer = self.http.request(method, f"{self.url}/api/v1{path}", content=body, headers=given)
        return answer.status_code, answer.json() if answer.content else None

    def elastic(self, alert: Mapping[str, Any], delivery: str) -> tuple[int, Any]:
        """Post as Elastic's connector does: a bearer token, an id of the delivery."""
        headers = {"authorization": f"Bearer {ELASTIC_TOKEN}", "x-request-id": delivery}
        return self.call("POST", "/alerts/elastic", body=json.dumps(alert).encode(), headers=headers)

    def suricata(self, alert: Mapping[str, Any], delivery: str, *, forged: bool = False) -> tuple[int, Any]:
        """Post as a signing forwarder does (Standard Webhooks)."""
        body = json.dumps(alert).encode()
        headers = webhooks.sign(webhooks.secret_bytes(SURICATA_SECRET), delivery, datetime.now(UTC), body)
        if forged:
            body = body.replace(b"alert", b"alarm", 1)
        return self.call("POST", "/alerts/suricata", body=body, headers=headers)

    def estate(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the estate itself, past the service."""
        answer = self.http.request(method, f"{self.lab.url}{path}", json=body)
        return answer.json()

    def changes(self) -> list[Any]:
        """The calls in the estate's own log that changed something."""
        return [entry for entry in self.log() if entry.get("changed")]

    def log(self) -> list[Any]:
        """The estate's own log of every call."""
        found: list[Any] = self.estate("GET", "/log")["calls"]
        return found


def until(seen: Callable[[], Any], seconds: float = 15.0, every: float = 0.05) -> Any:
    """Wait until something is seen; what was seen, or None when the time is over."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = seen()
        if found:
            return found
        time.sleep(every)
    return None


def _clean(folder: Path) -> Path:
    """An empty folder of our own; one that is not ours is never emptied."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise StageError(f"{folder} holds something that is not a demo's; name another folder")
        _own(folder).close()
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _own(folder: Path) -> IO[str]:
    """One demo plays in a folder at a time."""
    lock = (folder / MARKER).open("a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StageError(f"another demo plays in {folder}; name another folder") from error
    return lock
