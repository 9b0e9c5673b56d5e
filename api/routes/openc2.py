"""The OpenC2 consumer (transfer over HTTPS 1.1): commands for our verbs, under the same guards as everything else.

It stands at the address that the standard names, outside of `/api/v1`, and answers in the standard's own
form, errors too. What a command began is a run: nobody waits for it here. Whoever wants to know sends
the same command again, or `query` with target `command`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.responses import Response as HttpResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from api import errors
from api.auth import ANYBODY, TheHouse, needs
from api.body import decoded
from api.errors import Malformed, UnsupportedMedia
from api.wiring import House
from soar import canonical
from soar.access import authorize
from soar.engine import commanded, releasing
from soar.engine.commanded import Asked
from soar.errors import Invalid, NotFound, Problem, Refused, SoarError
from soar.ids import new_id
from soar.model import Actor
from soar.openc2 import language, message, words
from soar.openc2.language import OWN, Command, Response, Status, Unsupported
from soar.store import actions, alerts, locks
from soar.store.session import Tx
from soar.verbs import VERBS

CODES = {401: 401, 403: 403, 404: 404, 409: 400, 413: 400, 415: 400, 422: 400, 400: 400, 503: 503}
"""Status of a response by the status that the error has elsewhere; 500 for the rest."""


class _Route(APIRoute):
    """Tells every error of ours as an OpenC2 response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, HttpResponse]]:
        handler = super().get_route_handler()

        async def answered(request: Request) -> HttpResponse:
            try:
                return await handler(request)
            except SoarError as error:
                return _http(request, _told(error, request))

        return answered


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.post(message.PATH)
async def consume(request: Request, house: TheHouse, actor: Annotated[Actor, needs(ANYBODY)]) -> HttpResponse:
    """Take one command. The same command id (else request id) again changes nothing and tells how far it is."""
    if request.headers.get("content-type", "").replace(" ", "") not in (message.CONTENT_TYPE, message.MEDIA_TYPE):
        raise UnsupportedMedia(f"send {message.CONTENT_TYPE}")
    opened = message.parse_message(decoded(await request.body()))
    _identify(request, opened.request_id)
    command = language.parse_command(opened.request)
    response = await run_in_threadpool(_answer, house, command, errors.request_id(request.scope), actor)
    if command.args.get("response_requested") == "none":
        return HttpResponse(status_code=204)
    return _http(request, response, opened.sender)


def _identify(request: Request, inside: str) -> None:
    """The request goes by the sender's id, from the header or from the message; it is echoed in both."""
    outside = request.headers.get("x-request-id", "")
    if (inside and outside and inside != outside) or (outside and not message.REQUEST_ID.fullmatch(outside)):
        raise Malformed("X-Request-ID and headers.request_id must be one plain id")
    if inside or outside:
        request.scope["soar.request_id"] = inside or outside


def _answer(house: House, command: Command, request_id: str, actor: Actor) -> Response:
    if command.action == "query":
        return _query(house, command, actor)
    key, source = command.command_id or request_id, f"openc2:{actor.id}"
    digest = hashlib.sha256(canonical.dumps(command.as_plain())).hexdigest()
    authorize(actor, "action.release" if _ends(command) else "run.start")
    with house.store.read() as conn:
        before = _before(alerts.delivery(conn, source, key), digest)
        if before:
            return commanded.response(conn, before)
    begin = _beginning(house, command, actor)

    def write(tx: Tx) -> Response:
        locks.hold(tx, [f"{source}:{key}"])
        run = _before(alerts.delivery(tx.conn, source, key), digest)
        if not run:
            run = begin(tx)
            alerts.keep_delivery(tx, source, key, digest, {"run": run})
        return commanded.response(tx.conn, run)

    try:
        return house.store.write(write)
    except Refused as error:
        _report(house, error, actor)
        raise


def _report(house: House, error: Refused, actor: Actor) -> None:
    """A release that the gate refused is an event of its incident."""
    original, said = error.details.get("action"), "; ".join(error.details.get("missing", [error.message]))
    if original:
        house.store.write(lambda tx: releasing.report(tx, actions.get(tx.conn, original), said, actor))


def _before(delivery: Any, digest: str) -> str:
    """The run that this command began before; empty where it is new."""
    if delivery is None:
        return ""
    if delivery.body_sha256 != digest:
        message_ = "this id was used for another command"
        raise Invalid(problems=[Problem(code="reused_id", message=message_, pointer="/command_id")])
    return str(delivery.answer["run"])


def _ends(command: Command) -> bool:
    """Takes back what stands, so that the release gate is asked."""
    if command.target_type == "slpf:rule_number":
        return True
    return command.action != "delete" and bool(VERBS[words.order_of(command).verb].undoes)


def _beginning(house: House, command: Command, actor: Actor) -> Callable[[Tx], str]:
    """What will begin the run. All that calls out, or needs no transaction, happens here."""
    own, now = command.args.get(OWN, {}), house.store.clock.now()
    named = {"by": actor, "why": own.get("why", "OpenC2 command"), "incident": own.get("incident", "")}
    reason = own.get("reason", "recovered")
    if command.target_type == "slpf:rule_number":
        if command.action != "delete":
            raise _unsupported(f"{command.action} slpf:rule_number is not done here")
        order = words.Order(verb="unblock_ip", params={"ip": str(command.target)})
        asked = Asked(order=order, timing=words.timing_of(command, order.verb, now), reason=reason, **named)
        return lambda tx: commanded.end_rule(tx, asked, command.target)
    order = words.order_of(command)
    asked = Asked(order=order, timing=words.timing_of(command, order.verb, now), reason=reason, **named)
    commanded.check(house.parts, order)
    _check_actuator(house, command, order)
    entity = commanded.resolved(house.parts, order)
    if VERBS[order.verb].undoes:
        return lambda tx: commanded.end(tx, asked, entity)
    return lambda tx: commanded.begin(tx, house.parts, asked, entity)


def _check_actuator(house: House, command: Command, order: words.Order) -> None:
    """A command for one actuator among several is for us only if that is the one which would do it."""
    own = house.parts.adapter_for(order.verb).name
    for specifiers in command.actuator.values():
        if specifiers and dict(specifiers) != {"asset_id": own}:
            raise NotFound(f"the actuator that is named is not here; {order.verb} is done by asset_id {own}")


def _query(house: House, command: Command, actor: Actor) -> Response:
    if command.target_type == "features":
        wanted = {
            "versions": [language.VERSION], "profiles": list(language.PROFILES), "pairs": commanded.pairs(house.parts)
        }  # fmt: skip
        found = {name: value for name, value in wanted.items() if name in command.target}
        said = [f"{name} is an unpublished draft" for name in sorted(language.DRAFT_PROFILES) if "profiles" in found]
        said += ["there is no limit to the rate"] if "rate_limit" in command.target else []
        return Response(status=Status.OK, status_text="; ".join(said), results=found)
    if command.target_type == "command":
        authorize(actor, "run.read")
        with house.store.read() as conn:
            before = alerts.delivery(conn, f"openc2:{actor.id}", command.target)
            if before is None:
                raise NotFound("you have sent no command with this id")
            return commanded.response(conn, before.answer["run"])
    raise _unsupported(f"query {command.target_type} is not answered here")


def _unsupported(said: str) -> Unsupported:
    return Unsupported(problems=[Problem(code="unsupported", message=said, pointer="/target")])


def _told(error: SoarError, request: Request) -> Response:
    """An error as a response; what went wrong inside is for the log alone."""
    code = Status(CODES.get(errors.status_of(error), 500))
    if isinstance(error, Unsupported):
        code = Status.NOT_IMPLEMENTED
    if code is Status.INTERNAL_ERROR or code is Status.UNAVAILABLE:
        errors.answer(error, request.scope)  # writes the log
        return Response(status=code, status_text=(type(error).__doc__ or "").strip())
    problems = [problem.as_dict() for problem in error.problems] if isinstance(error, Invalid) else []
    own = {"code": error.code, **({"problems": problems} if problems else {})}
    own |= {name: error.details[name] for name in ("missing",) if name in error.details}
    return Response(status=code, status_text=error.message, results={OWN: own})


def _http(request: Request, response: Response, to: str = "") -> HttpResponse:
    house: House = request.app.state.house
    created = round(house.store.clock.now().timestamp() * 1000)
    request.scope.setdefault("soar.request_id", new_id())
    body = message.answer(
        response, request_id=errors.request_id(request.scope), sender=house.settings.origin, created=created, to=to
    )
    status = 200 if response.status is Status.PROCESSING else int(response.status)
    headers = {"WWW-Authenticate": 'Bearer realm="soar"'} if status == 401 else {}
    return JSONResponse(body, status, headers, message.CONTENT_TYPE)
