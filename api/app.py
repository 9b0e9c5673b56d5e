"""The HTTP door: one application over a house that was built elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from api import errors
from api.auth import check_guarded
from api.body import Bodies
from api.edge import Edge
from api.routes import (
    actions,
    adapters,
    alerts,
    approvals,
    audit,
    breakglass,
    docs,
    drills,
    evidence,
    health,
    incidents,
    openc2,
    people,
    playbooks,
    runs,
    scope,
    switches,
    tasks,
)
from api.wiring import House

ROUTERS: tuple[APIRouter, ...] = tuple(
    module.router
    for module in (
        health, alerts, incidents, scope, runs, approvals, actions, tasks, evidence, playbooks, adapters, people,
        switches, breakglass, audit, drills,
    )
)  # fmt: skip


def create_app(house: House) -> FastAPI:
    """The application. Raises RuntimeError for a route that asks nobody who they are, Invalid or NotFound
    for a source whose secret or kind cannot be had.
    """
    check_guarded((*ROUTERS, openc2.router))
    app = FastAPI(
        title="soar",
        version=health.VERSION,
        description="Security incident response: contain, prove it, take it back.",
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.house = house
    app.state.gate = gate = alerts.gate(house)
    for router in ROUTERS:
        app.include_router(router, prefix=docs.PREFIX)
    app.include_router(docs.router)
    app.include_router(openc2.router)
    docs.describe(app)
    errors.install(app)
    app.add_middleware(alerts.Straight, house=house, gate=gate)
    app.add_middleware(Bodies)
    app.add_middleware(Edge)
    return app
