"""The description of the API, and a page that shows it with assets from this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api.auth import OPEN
from api.errors import MEDIA_TYPE
from api.views.base import ProblemDocument
from soar.errors import NotFound

router = APIRouter(prefix="/api", include_in_schema=False)
PREFIX = "/api/v1"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>soar API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="icon" href="docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script></body></html>
"""
# The bundled page reads OpenAPI 3.0 only. What we use of 3.1 it shows well enough under the older
# number, so the number alone is changed, and only on its way to the page.
_START = """"use strict";
fetch("openapi.json").then((answer) => answer.json()).then((spec) => {
  SwaggerUIBundle({ spec: { ...spec, openapi: "3.0.3" }, dom_id: "#swagger-ui", deepLinking: true });
});
"""
_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
_DESCRIPTIONS = {
    "400": "The body is not JSON that can be read in one way only",
    "401": "No valid credential",
    "403": "The permission is missing, or a guard or gate refuses",
    "404": "There is no such object",
    "409": "The object is not in the state that the call assumes",
    "413": "The body is too large",
    "415": "The body is of another type",
    "422": "The request does not fit; `problems` names every place",
    "500": "Something went wrong inside",
    "503": "The database or a needed part cannot answer now; see Retry-After",
}


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI 3.1 document."""
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


@router.get("/docs")
async def page() -> Response:
    """The page for people."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": CSP})


@router.get("/docs/start.js")
async def start() -> Response:
    """What starts the page; a file of its own, because inline scripts are forbidden here."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{asset}")
async def asset(asset: str) -> Response:
    """One of the page's files."""
    if asset not in _ASSETS:
        raise NotFound("there is nothing at this path")
    from swagger_ui_bundle import swagger_ui_path

    headers = {"Cache-Control": "public, max-age=86400"}
    return FileResponse(Path(swagger_ui_path) / asset, media_type=_ASSETS[asset], headers=headers)


def describe(app: FastAPI) -> None:
    """Let the app describe itself with its credential and with every problem that an operation can answer."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    spec = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = spec["components"]["schemas"]
    for foreign in ("HTTPValidationError", "ValidationError"):
        schemas.pop(foreign, None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    spec["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key: soar_..."},
        "source": {"type": "http", "scheme": "bearer", "description": "A source's own token, or Standard Webhooks"},
    }
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            _complete(path.removeprefix(PREFIX), method.upper(), operation)
    return spec


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add the credential and the problems to one operation."""
    codes = {"500", "503"}
    if (method, path) not in OPEN:
        codes |= {"401", "403"}
        operation["security"] = [{"key": []}]
    elif method != "GET":
        codes |= {"401"}
        operation["security"] = [{"source": []}]
    if "requestBody" in operation:
        codes |= {"400", "413", "415", "422"}
    if operation.get("parameters"):
        codes |= {"422"}
    if "{" in path:
        codes |= {"404"}
    if method != "GET" or path.endswith("/content"):
        codes |= {"409"}
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    responses = operation["responses"]
    responses.pop("422", None)
    for code in sorted(codes):
        responses[code] = {"description": _DESCRIPTIONS[code], "content": {MEDIA_TYPE: schema}}
