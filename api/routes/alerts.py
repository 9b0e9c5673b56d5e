"""Alerts in: the sender is proved on the raw bytes before anything of them is read."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors
from api.auth import house_of
from api.body import RAW, check_type, decoded
from api.views.alerts import Receipt
from api.views.base import Ident
from api.wiring import House
from soar import config, webhooks
from soar.config import SourceSettings
from soar.errors import Invalid, Problem, SoarError, Unauthenticated
from soar.events import Kind
from soar.model import Actor
from soar.ports import Source
from soar.store import streams
from soar.store.session import Store

router = APIRouter(tags=["alerts"])
EVERY = timedelta(minutes=1)
UNKNOWN = "(unknown)"
"""What stands for every name that is no source of ours."""
_REFUSAL = "the credential of this source is not valid"


@dataclass(frozen=True, slots=True)
class Sender:
    """A configured source: how it proves itself, and what reads its documents."""

    name: str
    signs: bool
    secrets: tuple[bytes, ...]
    tokens: tuple[str, ...]
    source: Source | None

    @property
    def actor(self) -> Actor:
        """Who it is in the record."""
        return Actor(kind="service", id=self.name, name=self.name)

    def prove(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        """The delivery's id, once the sender is proved; raises Unauthenticated."""
        if self.signs:
            return webhooks.verify_signature(self.secrets, headers, body, now)
        webhooks.verify_bearer(self.tokens, headers)
        return webhooks.delivery_id(headers, body)


@dataclass(slots=True)
class Refusals:
    """Counts what was turned away, and writes it down at most once a minute for each source."""

    store: Store
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, source: str, error: SoarError) -> None:
        """One more; `error` is the sample that goes into the event, never the body."""
        now = self.store.clock.now()
        with self.lock:
            mine = self.counts.setdefault(source, {})
            mine[error.code] = mine.get(error.code, 0) + 1
            last = self.written.get(source)
            if last is not None and now - last < EVERY:
                return
            self.written[source] = now
            del self.counts[source]
        self.store.write(
            lambda tx: streams.append(
                tx, streams.SYSTEM, Kind.SYSTEM_DELIVERIES_REFUSED, data={"source": source, "refused": mine},
                values={"sample": error.message},
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gate:
    """Everybody who may post, and the count of those who were turned away."""

    senders: Mapping[str, Sender]
    stranger: Sender
    refusals: Refusals


def gate(house: House) -> Gate:
    """Resolve every secret and parser once; raises Invalid or NotFound naming what is wrong."""
    senders = {name: _sender(house, name, each) for name, each in house.settings.sources.items()}
    token = secrets.token_urlsafe(32)
    return Gate(senders, Sender(UNKNOWN, False, (), (token,), None), Refusals(house.store))


def _sender(house: House, name: str, settings: SourceSettings) -> Sender:
    signs = settings.auth == "standard-webhooks"
    texts = tuple(config.secret(reference) for reference in settings.secrets)
    try:
        keys = tuple(webhooks.secret_bytes(text) for text in texts) if signs else ()
    except Invalid as error:
        where = [Problem(code=each.code, message=each.message, pointer=f"sources.{name}.secrets", mend=each.mend)
                 for each in error.problems]  # fmt: skip
        raise Invalid(problems=where) from error
    return Sender(name, signs, keys, () if signs else texts, house.registry.source(settings.kind))


@router.post(
    "/alerts/{source}",
    status_code=202,
    response_model=Receipt,
    summary="Post alerts of a SIEM",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def receive(source: Ident, request: Request) -> JSONResponse:
    """Takes the source's own format. The credential is the source's: Standard Webhooks or a bearer token.

    A delivery that was seen before gets the same answer and changes nothing (409 if its id comes
    with another body).
    """
    door: Gate = request.app.state.gate
    return await _answered(house_of(request), door, door.senders.get(source, door.stranger), request)


class Straight:
    """ASGI middleware that takes the deliveries of known sources without looking for their route.

    To find the route, and to fill in what no delivery has, costs as much as to prove, read and parse one.
    """

    def __init__(self, app: ASGIApp, house: House, gate: Gate) -> None:
        self.app = app
        self._house = house
        self._gate = gate
        self._senders = {RAW + name: sender for name, sender in gate.senders.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = self._senders.get(scope.get("path", "")) if scope.get("method") == "POST" else None
        if sender is None:
            await self.app(scope, receive, send)
            return
        try:
            answer: Response = await _answered(self._house, self._gate, sender, Request(scope, receive))
        except SoarError as error:
            answer = errors.answer(error, scope)
        await answer(scope, receive, send)


async def _answered(house: House, door: Gate, sender: Sender, request: Request) -> JSONResponse:
    try:
        body = await request.body()
        delivery = await run_in_threadpool(_take, house, sender, request.headers, body)
    except Unauthenticated as error:
        await run_in_threadpool(door.refusals.note, sender.name, error)
        raise Unauthenticated(_REFUSAL) from None
    except Invalid as error:
        await run_in_threadpool(door.refusals.note, sender.name, error)
        raise
    return JSONResponse(delivery, 202)  # it has the shape of a receipt; to check that again costs as much as to read it


def _take(house: House, sender: Sender, headers: Headers, body: bytes) -> dict[str, Any]:
    delivery = sender.prove(dict(headers), body, house.store.clock.now())
    if sender.source is None:
        raise Unauthenticated("there is no such source")
    check_type(headers)
    found = sender.source.parse(decoded(body))
    return house.intake.receive(sender.name, delivery, body, found, sender.actor)
