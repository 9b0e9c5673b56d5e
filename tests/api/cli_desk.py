"""What the tests of the command line stand on: a scripted server, and a way to run a command here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from api.cli import main


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in; `path` is still percent-encoded."""

    method: str
    path: str
    key: str
    body: Any


@dataclass(slots=True)
class Desk:
    """A server that answers from a script: (method, path without query) to answers, the last one again and again."""

    url: str = ""
    script: dict[tuple[str, str], list[tuple[int, bytes]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, method: str, path: str, *bodies: Any, status: int = 200) -> None:
        """Script the answers of a path below /api/v1: plain data, or raw bytes."""
        raw = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        self.script[method, path] = [(status, each) for each in raw]

    def refuse(self, method: str, path: str, status: int, code: str, **members: Any) -> None:
        """Script a problem document (RFC 9457)."""
        problem = {"type": f"urn:soar:{code}", "title": code, "status": status, "code": code, "detail": code, **members}
        self.answer(method, path, problem, status=status)


class _Handler(BaseHTTPRequestHandler):
    desk: Desk

    def _serve(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path = self.path.removeprefix("/api/v1")
        self.desk.asked.append(Asked(self.command, path, self.headers.get("authorization") or "", body))
        answers = self.desk.script.get((self.command, path.partition("?")[0]))
        missing = (404, json.dumps({"code": "not_found", "detail": f"nothing at {path}"}).encode())
        status, raw = missing if not answers else answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("content-type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Tests speak for themselves."""


@contextmanager
def scripted() -> Iterator[Desk]:
    """The server, on a free port, for as long as the block lasts."""
    desk = Desk()
    handler = type("Handler", (_Handler,), {"desk": desk})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        desk.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield desk
        finally:
            server.shutdown()
            thread.join()


def soar(*words: str) -> int:
    """Run one command in this process; returns its exit code."""
    return main(list(words))


def run_of(status: str, *steps: Mapping[str, Any]) -> dict[str, Any]:
    """A run as the server tells it."""
    return {"id": "r1", "playbook": "p", "status": status, "steps": list(steps), "actions": []}


def step_of(name: str, status: str) -> dict[str, Any]:
    """A step of a run."""
    return {"step": name, "occurrence": name, "status": status, "attempt": 1, "outputs": {}, "reason": ""}
