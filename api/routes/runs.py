"""Runs: plan, start, read, cancel."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.auth import TheHouse, needs
from api.routes import told
from api.views.base import Ident
from api.views.runs import Cancel, Plan, PlanView, Run, Start
from soar.engine import binding, control, plan, running
from soar.errors import Conflict
from soar.model import Actor, IncidentStatus
from soar.store import alerts, incidents, runs
from soar.store.session import Tx

router = APIRouter(tags=["runs"])
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[!-~]{1,255}$", description="the same key with the same body gives the same run again"),
]


@router.post("/incidents/{incident}/plan", summary="Plan a playbook without doing anything")
def dry_run(incident: Ident, body: Plan, house: TheHouse, _: Annotated[Actor, needs("run.plan")]) -> PlanView:
    """The whole playbook, dry: targets, present state, guards, undo, approvals. Nothing is written anywhere."""
    with house.store.read() as conn:
        row = incidents.get(conn, incident)
        book = runs.current_playbook(conn, body.playbook)
        found = plan.dry_run(house.parts, conn, row.id, book, body.inputs)
    return PlanView(**found)


@router.post("/incidents/{incident}/runs", status_code=201, summary="Start a playbook")
def start(
    incident: Ident, body: Start, house: TheHouse, actor: Annotated[Actor, needs("run.start")], response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Run:  # fmt: skip
    """201 with the run, also when the same Idempotency-Key asks again; 409 when it comes with another body."""

    def write(tx: Tx) -> Run:
        row = incidents.get(tx.conn, incident)
        source, digest = f"api:{actor.id}", _digest(row.id, body)
        before = alerts.delivery(tx.conn, source, idempotency_key) if idempotency_key else None
        if before is not None:
            if before.body_sha256 != digest:
                raise Conflict("this Idempotency-Key was used for another request")
            return told.run(tx.conn, before.answer["run"])
        run_id = _start(tx, row, body, actor)
        if idempotency_key:
            alerts.keep_delivery(tx, source, idempotency_key, digest, {"run": run_id})
        return told.run(tx.conn, run_id)

    found = house.store.write(write)
    response.headers["Location"] = f"/api/v1/runs/{found.id}"
    return found


@router.get("/runs/{run}", summary="Read one run")
def read(run: Ident, house: TheHouse, _: Annotated[Actor, needs("run.read")]) -> Run:
    """Its status, the state of each step, and its actions."""
    with house.store.read() as conn:
        return told.run(conn, run)


@router.post("/runs/{run}/cancel", summary="Cancel a run")
def cancel(run: Ident, body: Cancel, house: TheHouse, actor: Annotated[Actor, needs("run.cancel")]) -> Run:
    """Nothing more is sent. Containments stay, and stand in the register."""

    def write(tx: Tx) -> Run:
        control.cancel_run(tx, run, actor, body.reason)
        return told.run(tx.conn, run)

    return house.store.write(write)


def _start(tx: Tx, incident: Any, body: Start, actor: Actor) -> str:
    if incident.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    book = runs.current_playbook(tx.conn, body.playbook)
    inputs = binding.initial_inputs(book, incidents.facts(tx.conn, incident.id), body.inputs)
    return running.start_run(tx, incident.id, book, inputs, by=actor, why=body.reason, automatic=False)


def _digest(incident_id: str, body: Start) -> str:
    whole = json.dumps({"incident": incident_id, **body.model_dump()}, sort_keys=True)
    return hashlib.sha256(whole.encode("ascii")).hexdigest()
