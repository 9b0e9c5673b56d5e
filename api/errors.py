"""What HTTP makes of errors: a problem document (RFC 9457) for every one, always in the same shape.

This file alone knows status codes. `type` is `urn:soar:<code>`; `code` is the stable word to branch on.
`problems` lists every single mistake; its `pointer` is a JSON Pointer into the body, or `query.NAME`,
`path.NAME`, `header.NAME`. Further members (such as `missing`) come from the error's details. What
went wrong inside is logged under the request id and never told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from soar.errors import (
    AdapterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotSent,
    Problem,
    Refused,
    SoarError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soar.strict_text import pointer

log = structlog.get_logger("soar.http")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5


class Malformed(Invalid):
    """The body is not JSON that can be read in one way only."""

    code = "malformed"


class UnsupportedMedia(Invalid):
    """The body is of a type that is not read here."""

    code = "unsupported_media_type"


STATUS: Mapping[type[SoarError], int] = {
    SoarError: 500,
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    Refused: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Invalid: 422,
    AdapterError: 502,
    NotSent: 503,
    Unavailable: 503,
}
"""Error to status; an error that is not named has the status of the nearest one above it in its tree."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="soar"'},
    503: {"Retry-After": str(RETRY_AFTER_SECONDS)},
}
_ROUTING = {404: ("not_found", "there is nothing at this path"), 405: ("method_not_allowed", "not with this method")}


def request_id(scope: Scope) -> str:
    """The id of this request, as its answer's header X-Request-Id has it."""
    return str(scope.get("soar.request_id", ""))


def status_of(error: SoarError) -> int:
    """The status of an error."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def answer(error: SoarError, scope: Scope) -> Response:
    """The response for an error of ours."""
    status = status_of(error)
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    if status >= 500:
        # The message may quote a statement or an address inside; it is for the log.
        log.error("request_failed", request=request_id(scope), code=error.code, reason=error.message)
        return _response(scope, status, error.code, title, title)
    problems = error.problems if isinstance(error, Invalid) else ()
    return _response(scope, status, error.code, title, error.message, problems, error.details)


def internal(scope: Scope) -> Response:
    """The response for what nobody foresaw: the request's id, and nothing of what happened."""
    detail = f"Something went wrong inside; the log has it under {request_id(scope)}."
    return _response(scope, 500, "internal", "Something went wrong inside.", detail)


def install(app: FastAPI) -> None:
    """Have every error of a route answered in this shape."""
    app.add_exception_handler(SoarError, _on_soar)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    for away in (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError):
        app.add_exception_handler(away, _on_database)


async def _on_soar(request: Request, error: Exception) -> Response:
    assert isinstance(error, SoarError)
    return answer(error, request.scope)


async def _on_database(request: Request, error: Exception) -> Response:
    """The database went away where nobody had named it yet."""
    return answer(Unavailable(f"the database cannot be used: {str(error).partition(chr(10))[0]}"), request.scope)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(Invalid("the request does not fit", [_problem(each) for each in error.errors()]), request.scope)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code, detail = _ROUTING.get(status, (status.phrase.lower().replace(" ", "_"), status.description))
    return _response(request.scope, status, code, status.phrase, detail, headers=error.headers)


def _problem(found: Mapping[str, Any]) -> Problem:
    """A finding of pydantic, without the value that it was found in."""
    place, *rest = found["loc"]
    where = pointer(rest) if place == "body" else ".".join(str(part) for part in found["loc"])
    return Problem(code=str(found["type"]), message=str(found["msg"]), pointer=where)


def _response(
    scope: Scope, status: int, code: str, title: str, detail: str, problems: Iterable[Problem] = (),
    extra: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    body = {
        **(extra or {}),
        "type": f"urn:soar:{code}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "code": code,
        "instance": scope.get("path", ""),
        "request_id": request_id(scope),
        "problems": [problem.as_dict() for problem in problems],
    }
    text = json.dumps(body, default=str).encode("ascii")
    return Response(text, status, {**_HEADERS.get(status, {}), **(headers or {})}, MEDIA_TYPE)
