"""The outer edge of the HTTP door: a request id, security headers on every answer, the last handler."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from soar.ids import new_id

log = structlog.get_logger("soar.http")

SECURITY: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""What every answer says, where its route has not said it otherwise."""
_SECURITY = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in SECURITY.items()]
_REQUEST_ID = b"x-request-id"


class Edge:
    """ASGI middleware; stands outside of everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["soar.request_id"] = new_id()
        begun = False

        async def send_dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                said = {name for name, _ in message["headers"]} | {_REQUEST_ID}
                own = [each for each in message["headers"] if each[0] != _REQUEST_ID]
                ours = [(_REQUEST_ID, errors.request_id(scope).encode("latin-1"))]
                ours += [each for each in _SECURITY if each[0] not in said]
                message["headers"] = own + ours
            await send(message)

        try:
            await self.app(scope, receive, send_dressed)
        except Exception:
            # The trace as text: a renderer that shows local variables would show keys and evidence.
            told = {"request": errors.request_id(scope), "path": scope["path"], "trace": traceback.format_exc()}
            log.error("request_crashed", **told)  # noqa: TRY400
            if begun:
                raise
            await errors.internal(scope)(scope, receive, send_dressed)
