"""Talks to a running server over HTTP; what the server refuses is raised as the error that it stands for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from soar.errors import Conflict, Forbidden, Invalid, NotFound, Problem, SoarError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx2

URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0
PAGES = 1000
"""The most pages of one list that are fetched."""

KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="File with the key to show. [default: the variable SOAR_KEY]")
]
"""The option that every command of the server has; a key itself never stands on a command line."""

_BY_STATUS: Mapping[int, type[SoarError]] = {
    400: Invalid, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 405: NotFound, 409: Conflict, 412: Conflict,
    413: Invalid, 415: Invalid, 422: Invalid, 503: Unavailable,
}  # fmt: skip
_STANDARD = frozenset({"type", "title", "status", "detail", "code", "instance", "problems", "message", "self"})
"""Members of a problem document that are not told as further details."""


def path(*parts: str) -> str:
    """A path below /api/v1 from its parts, each of which may hold anything."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Server:
    """The server that SOAR_URL names (default http://127.0.0.1:8080), spoken to with one key."""

    def __init__(self, key_file: Path | None = None, timeout: float = TIMEOUT) -> None:
        import httpx2

        self.url = os.environ.get("SOAR_URL", URL).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise Invalid(f"SOAR_URL is {self.url!r}; it begins with http:// or https://")
        headers = {"Accept": "application/json", **_authorization(key_file)}
        try:
            self._http = httpx2.Client(
                base_url=f"{self.url}/api/v1", headers=headers, timeout=timeout, trust_env=False,
                limits=httpx2.Limits(max_keepalive_connections=0),
            )  # fmt: skip
        except httpx2.InvalidURL as error:
            raise Invalid(f"SOAR_URL is {self.url!r}: {error}") from error

    def get(self, where: str, **query: Any) -> Any:
        """What stands there, decoded."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", where, params=given)

    def post(self, where: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", where, json=body)

    def put(self, where: str, body: Mapping[str, Any]) -> Any:
        return self._send("PUT", where, json=body)

    def delete(self, where: str) -> Any:
        return self._send("DELETE", where)

    def items(self, where: str, **query: Any) -> list[dict[str, Any]]:
        """Every item of a list, page after page."""
        found: list[dict[str, Any]] = []
        after = None
        for _ in range(PAGES):
            page = self.get(where, **query, after=after)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise self._not_soar("no list")
            found += page["items"]
            after = page.get("next")
            if after is None:
                break
        return found

    @contextmanager
    def content(self, where: str, **query: str) -> Iterator[Iterator[bytes]]:
        """The bytes that stand there, piece by piece."""
        import httpx2

        try:
            with self._http.stream("GET", where, params=query) as answer:
                if not answer.is_success:
                    answer.read()
                    raise error_of(answer)
                yield answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    def _send(self, method: str, where: str, **parts: Any) -> Any:
        import httpx2

        try:
            answer = self._http.request(method, where, **parts)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error
        if not answer.is_success:
            raise error_of(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise self._not_soar("no JSON") from error

    def _not_soar(self, sent: str) -> SoarError:
        return SoarError(f"what answers at {self.url} is not soar: it sent {sent}")

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the server at {self.url} cannot be reached: {error}. Is SOAR_URL right?")


def error_of(answer: httpx2.Response) -> SoarError:
    """The error that an answer stands for (RFC 9457 problem document, or anything else)."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        said = {}
    kind = _codes().get(str(said.get("code"))) or _BY_STATUS.get(answer.status_code, SoarError)
    message = str(said.get("detail") or said.get("title") or f"the server answered {answer.status_code}")
    details = {name: value for name, value in said.items() if name not in _STANDARD and name.isidentifier()}
    if answer.status_code < 500:
        details.pop("request_id", None)
    if issubclass(kind, Invalid):
        return kind(message, _problems(said.get("problems")), **details)
    return kind(message, **details)


def _codes() -> dict[str, type[SoarError]]:
    """Every code of the error tree."""
    found: dict[str, type[SoarError]] = {}
    todo: list[type[SoarError]] = SoarError.__subclasses__()
    while todo:
        kind = todo.pop()
        if kind.__module__ == SoarError.__module__:
            found[kind.code] = kind
            todo += kind.__subclasses__()
    return found


def _problems(said: Any) -> list[Problem]:
    return [problem(each) for each in said if isinstance(each, dict)] if isinstance(said, list) else []


def problem(said: Mapping[str, Any]) -> Problem:
    """A problem as the server tells it."""

    def number(name: str) -> int | None:
        value = said.get(name)
        return value if isinstance(value, int) else None

    return Problem(
        code=str(said.get("code") or "problem"), message=str(said.get("message") or ""),
        pointer=str(said.get("pointer") or ""), line=number("line"), column=number("column"),
        mend=str(said.get("mend") or ""),
    )  # fmt: skip


def _authorization(key_file: Path | None) -> dict[str, str]:
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise NotFound(f"there is no key file {key_file}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"the key file {key_file} cannot be read as a key") from error
    else:
        key = os.environ.get("SOAR_KEY", "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("the key is not one: it has only visible ASCII characters")
    return {"Authorization": f"Bearer {key}"}


def pairs(given: list[str]) -> dict[str, Any]:
    """`name=value` texts as a mapping. A value is JSON where it reads as JSON (`2`, `true`, `["a"]`), else text."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{each!r} is not name=value")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found
