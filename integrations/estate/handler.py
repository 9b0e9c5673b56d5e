"""The estate's door: a few routes of HTTP/1.0, JSON in and out, one request for each connection.

POST /v1/<method>/<verb>  {"target": "host:ws-0147", "params": {}, "handle": {}}
GET  /health, /log?key=, /estate · GET, POST, DELETE /faults
"""

from __future__ import annotations

import hashlib
import json
import socketserver
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from integrations.estate.act import Act, Data, Refusal
from integrations.estate.desk import Desk, Reply

MOST = 256 * 1024
"""Largest body that is read, in bytes."""
METHODS = ("inspect", "apply", "revert", "other")


class Server(ThreadingHTTPServer):
    """One thread for each connection; a thread that hangs on purpose never keeps the process alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], desk: Desk) -> None:
        self.desk = desk
        self.stopping = threading.Event()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without the reverse name look-up of http.server, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads one request, asks the desk, writes one reply, or keeps silent where a fault says so."""

    server: Server
    server_version = "soar-lab"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Say nothing: the call log is the record."""

    def _answer(self) -> None:
        try:
            reply = self._routed()
        except Refusal as refusal:
            reply = Reply(refusal.status, {"error": refusal.message})
        if reply.hangs:
            self.server.stopping.wait(reply.hold)
        if reply.status is None:
            return
        self._send(reply.status, reply.body)

    def _routed(self) -> Reply:
        desk, url = self.server.desk, urlsplit(self.path)
        match (self.command, url.path.strip("/").split("/")):
            case ("POST", ["v1", method, verb]) if method in METHODS:
                reply = desk.answer(self._act(method, verb))
            case ("GET", ["health"]):
                reply = Reply(200, {"service": "soar-lab", "ok": True})
            case ("GET", ["log"]):
                reply = Reply(200, desk.calls(parse_qs(url.query).get("key", [""])[0]))
            case ("GET", ["estate"]):
                reply = desk.answer(self._act("other", "show", body={"target": "estate:"}))
            case ("GET", ["faults"]):
                reply = Reply(200, desk.faults())
            case ("POST", ["faults"]):
                reply = Reply(201, desk.add_fault(self._body()))
            case ("DELETE", ["faults"]):
                reply = Reply(200, desk.clear_faults())
            case _:
                raise Refusal(404, f"there is no {self.command} {url.path}")
        return reply

    def _act(self, method: str, verb: str, body: Data | None = None) -> Act:
        body = self._body() if body is None else body
        target, params, handle = body.get("target"), body.get("params", {}), body.get("handle", {})
        if not isinstance(target, str) or ":" not in target:
            raise Refusal(400, "'target' must be text, written kind:id")
        if not isinstance(params, dict) or not isinstance(handle, dict):
            raise Refusal(400, "'params' and 'handle' must be objects")
        return Act(
            method=method,
            verb=verb,
            target=target,
            params=params,
            handle=handle,
            now=datetime.now(UTC),
            key=unquote(self.headers.get("X-Soar-Key", "")),
            caller=unquote(self.headers.get("X-Soar-Caller", "")),
        )

    def _body(self) -> Data:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(411, "the body needs a Content-Length")
        if len(length) > 9 or int(length) > MOST:
            raise Refusal(413, f"the body may have {MOST} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refusal(400, "the body must be a JSON object")
        return body

    def _send(self, status: int, body: Data | bytes) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if raw is body else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("X-Soar-Sha256", hashlib.sha256(raw).hexdigest())
        self.end_headers()
        self.wfile.write(raw)
