"""Carries out CACAO commands over HTTP: `http-api` (section 5.5) and `openc2-http` (section 5.9).

Only hosts that the configuration names are called, redirects are not followed, and secrets come from
the configuration by the name that the playbook gives. What a request did, nobody can look at: a call
whose answer was not heard is in doubt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from integrations.once import Once
from soar.ports import (
    Applied,
    AppliedStatus,
    Call,
    Capability,
    JsonObject,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Repeat,
    Sink,
)

KIND = "http-commands"
_OPENC2 = "application/openc2+json;version=1.0"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "authorization", "cookie"})
"""Headers that a playbook may not set: they would lead elsewhere, or hold a secret."""


class Config(BaseModel):
    """Which hosts may be called (`name` or `name:port`), with which secrets, and how much of an answer is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = Field(min_length=1)
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    plain_http: bool = False
    timeout: float = Field(default=20.0, gt=0, le=300, allow_inf_nan=False)
    max_bytes: int = Field(default=262_144, ge=1_024, le=16 * 1024 * 1024)


def connect(name: str, config: Config) -> HttpCommands:
    """The adapter. Nothing is sent before the first call."""
    return HttpCommands(name, config)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: list[tuple[str, str]]
    content: str


class HttpCommands(Once):
    """Sends what a playbook's command says to the target it names."""

    sent = "a command over HTTP"

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        once = Capability(repeat=Repeat.UNSAFE, inspects=False, timeout=config.timeout)
        self.verbs: Mapping[str, Capability] = {"command_http_api": once, "command_openc2_http": once}
        self._config = config
        self._client = httpx2.Client(timeout=config.timeout, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def apply(self, call: Call, sink: Sink) -> Applied:  # noqa: ARG002 - an answer is an output, not evidence
        """Send the request once."""
        request = self._request(call)
        try:
            with self._client.stream(
                request.method, request.url, headers=request.headers, content=request.content.encode()
            ) as answer:
                return self._answered(request, answer.status_code, self._read(answer))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            raise NotSent(f"{request.url} cannot be reached: {type(error).__name__}") from error
        except httpx2.HTTPError as error:
            raise OutcomeUnknown(f"{request.url} gave no answer: {type(error).__name__}") from error

    def check(self) -> Sequence[Problem]:
        """Secrets that are empty; hosts are asked only by a playbook."""
        return [
            Problem(code="empty_secret", message=f"the secret {name} is empty", pointer=f"secrets.{name}")
            for name, value in self._config.secrets.items()
            if not value.get_secret_value()
        ]

    def _request(self, call: Call) -> _Request:
        self.refuse_unknown(call)
        command, endpoint = call.params["command"], call.params.get("endpoint", {})
        method, _, rest = str(command.get("command", "")).partition(" ")
        target = rest.rpartition(" ")[0] if rest.rpartition(" ")[2].startswith("HTTP/") else rest
        if method not in _METHODS or not target.startswith(("/", "http://", "https://")) or " " in target:
            raise Rejected(f"this is no start line of a request: {str(command.get('command', ''))[:100]!r}")
        url = target if "://" in target else self._base(endpoint) + target
        self._refuse_unless_allowed(url)
        headers = [
            (name, line)
            for name, lines in (command.get("headers") or {}).items()
            for line in (lines if isinstance(lines, list) else [lines])
        ]
        if refused := [name for name, _ in headers if name.lower() in _OWN_HEADERS]:
            raise Rejected(f"a playbook may not set the header {refused[0]}")
        if call.verb == "command_openc2_http":
            headers = [pair for pair in headers if pair[0].lower() != "content-type"]
            headers += [("Content-Type", _OPENC2), ("X-Request-ID", call.key)]
        headers += self._authorization(endpoint.get("authentication") or {})
        return _Request(method, url, headers, str(command.get("content", "")))

    def _base(self, endpoint: JsonObject) -> str:
        """Scheme, host and port of a target: its url, else its name or address."""
        address = endpoint.get("address") or {}
        for kind in ("url", "dname", "ipv4", "ipv6"):
            given = address.get(kind)
            first = str(given[0] if isinstance(given, list) and given else given or "")
            if first and kind == "url":
                return first.rstrip("/")
            if first:
                host = f"[{first}]" if kind == "ipv6" else first
                scheme = "http" if self._config.plain_http else "https"
                return f"{scheme}://{host}" + (f":{endpoint['port']}" if endpoint.get("port") else "")
        raise Rejected("the target has no address: write url, dname, ipv4 or ipv6")

    def _refuse_unless_allowed(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Rejected(f"this is no address: {url[:100]!r}") from error
        host = (parts.hostname or "").lower()
        allowed = {each.lower() for each in self._config.hosts}
        if parts.username or parts.password:
            raise Rejected("an address may hold no user and no password")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._config.plain_http):
            raise Rejected("only https is spoken; set plain_http where that is meant")
        if host not in allowed and f"{host}:{port or (443 if parts.scheme == 'https' else 80)}" not in allowed:
            raise Rejected(f"{host} is not one of the hosts that may be called")

    def _authorization(self, login: JsonObject) -> list[tuple[str, str]]:
        if not login:
            return []
        name = str(login.get("secret", ""))
        secret = self._config.secrets.get(name)
        if secret is None:
            raise Rejected(f"the playbook names the secret {name!r}, which is not configured here")
        value = secret.get_secret_value()
        if login.get("type") == "oauth2":
            return [("Authorization", f"Bearer {value}")]
        basic = httpx2.BasicAuth(str(login.get("user_id") or login.get("username") or ""), value)
        request = next(basic.auth_flow(httpx2.Request("GET", "https://host.invalid/")))
        return [("Authorization", request.headers["Authorization"])]

    def _read(self, answer: httpx2.Response) -> bytes:
        """The body, as much of it as is kept."""
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > self._config.max_bytes:
                break
        return body[: self._config.max_bytes]

    def _answered(self, request: _Request, status: int, body: bytes) -> Applied:
        said = f"{request.method} {urlsplit(request.url).hostname}: {status}"
        if status >= 500:
            raise OutcomeUnknown(said)
        if not 200 <= status < 300:
            raise Rejected(said)
        how = AppliedStatus.ACCEPTED if status == 202 else AppliedStatus.CONFIRMED
        return Applied(status=how, outputs={"status": status, "result": _result(body)}, summary=said)


def _result(body: bytes) -> Any:
    """What an answer says: its JSON, else its text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
