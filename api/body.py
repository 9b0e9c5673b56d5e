"""Request bodies: capped while they are read, and JSON of one meaning only before any route sees it.

A webhook's body is handed on as it came, because its signature covers the raw bytes: there the cap
alone applies, and the route reads the JSON after it knows the sender.
"""

from __future__ import annotations

from email.message import Message as Header
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.errors import Malformed, UnsupportedMedia
from soar import strict_json
from soar.errors import Invalid, SoarError, TooLarge

MAX_BODY = 1024 * 1024
"""The longest body of a request, in octets."""
RAW = "/api/v1/alerts/"
"""Below this path bodies are handed on as they came."""
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class Bodies:
    """ASGI middleware that refuses bodies which are too long, of another type, or not strict JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_length(headers)
            receive = _capped(receive)
            if scope["method"] not in _BODILESS and not scope["path"].startswith(RAW):
                body = await _read(receive)
                if body:
                    check_type(headers)
                    await run_in_threadpool(decoded, body)
                receive = _replayed(body, receive)
        except SoarError as error:
            await errors.answer(error, scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def check_type(headers: Headers) -> None:
    """Raises UnsupportedMedia unless the body says it is plain JSON in UTF-8."""
    if headers.get("content-type") == "application/json" and "content-encoding" not in headers:
        return
    header = Header()
    header["content-type"] = headers.get("content-type") or "application/octet-stream"
    kind, charset = header.get_content_type(), str(header.get_param("charset") or "utf-8").lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMedia("send application/json")
    if charset not in ("utf-8", "utf8") or headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("send plain UTF-8: another charset or a compressed body is not read")


def decoded(body: bytes) -> Any:
    """The JSON of a body; raises Malformed with every place, or TooLarge."""
    try:
        return strict_json.parse(body, max_bytes=MAX_BODY)
    except TooLarge:
        raise
    except Invalid as error:
        raise Malformed(error.message, error.problems) from error


def _check_length(headers: Headers) -> None:
    said = headers.get("content-length", "0")
    if said.isdecimal() and (len(said) > 15 or int(said) > MAX_BODY):
        raise _too_large()


def _too_large() -> TooLarge:
    return TooLarge(f"a body has at most {MAX_BODY} bytes")


def _capped(receive: Receive) -> Receive:
    """Stop reading at the cap, whatever length was announced."""
    seen = 0

    async def capped() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise _too_large()
        return message

    return capped


async def _read(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the body ended early")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Hand the body on once; whoever asks again waits for the client to go."""
    handed = False

    async def replayed() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
