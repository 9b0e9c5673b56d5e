"""Runs: plan, start, read, and what persons do to them on their way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.auth import TheHouse, needs
from api.routes import told
from api.views.base import Ident, pick
from api.views.runs import Ask, Cancelled, Plan, PlanView, Retry, Run, Skip, Standing, Start
from api.wiring import House
from soar.engine import binding, control, plan, running
from soar.errors import Conflict, Invalid
from soar.model import Actor, IncidentStatus
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.playbook.trust.gate import Gate
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
        book = runs.current_playbook(conn, body.playbook) if body.playbook else _checked(body.document)
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
        run_id = _start(tx, house.parts.gate, row, body, actor)
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
def cancel(run: Ident, body: Ask, house: TheHouse, actor: Annotated[Actor, needs("run.cancel")]) -> Cancelled:
    """Nothing more is sent. Containments stay: `stands` lists them, with what must be decided about each."""

    def write(tx: Tx) -> Cancelled:
        control.cancel_run(tx, run, actor, body.reason)
        stands = [pick(Standing, entry) for entry in control.left_standing(tx.conn, run)]
        return Cancelled(**dict(told.run(tx.conn, run)), stands=stands)

    return house.store.write(write)


@router.post("/runs/{run}/pause", summary="Pause a run")
def pause(run: Ident, body: Ask, house: TheHouse, actor: Annotated[Actor, needs("run.pause")]) -> Run:
    """Nothing new is sent until it is resumed; what was sent comes to its outcome. Leases and deadlines run on."""
    return _control(house, run, lambda tx: control.pause_run(tx, run, actor, body.reason))


@router.post("/runs/{run}/resume", summary="Resume a paused run")
def resume(run: Ident, body: Ask, house: TheHouse, actor: Annotated[Actor, needs("run.pause")]) -> Run:
    """What was held is done, in order and once."""
    return _control(house, run, lambda tx: control.resume_run(tx, run, actor, body.reason))


@router.post("/runs/{run}/retry", summary="Try a failed run again where it broke")
def retry(run: Ident, body: Retry, house: TheHouse, actor: Annotated[Actor, needs("run.retry")]) -> Run:
    """The steps that broke it get a new attempt, with new keys; what succeeded stays done.

    409 while a call of the run is unsettled, and when its incident is closed.
    """
    return _control(house, run, lambda tx: control.retry_run(tx, run, actor, body.reason, body.occurrence or ""))


@router.post("/runs/{run}/skip", summary="Pass over a step of a run")
def skip(run: Ident, body: Skip, house: TheHouse, actor: Annotated[Actor, needs("run.skip")]) -> Run:
    """Its branch goes on as if it had succeeded, without outputs; nobody is asked about it any more.

    A run that failed there goes on. 409 while something that the step sent is unsettled.
    """
    return _control(house, run, lambda tx: control.skip_step(tx, run, body.occurrence, actor, body.reason))


def _control(house: House, run: str, do: Callable[[Tx], None]) -> Run:
    def write(tx: Tx) -> Run:
        do(tx)
        return told.run(tx.conn, run)

    return house.store.write(write)


def _start(tx: Tx, gate: Gate, incident: Any, body: Start, actor: Actor) -> str:
    if incident.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    book = runs.current_playbook(tx.conn, body.playbook)
    gate.admit(book, tx.now)
    inputs = binding.initial_inputs(book, incidents.facts(tx.conn, incident.id), body.inputs)
    return running.start_run(tx, incident.id, book, inputs, by=actor, why=body.reason, automatic=False)


def _checked(document: Any) -> Playbook:
    """A playbook that was sent and is not kept. Raises Invalid with all its problems, below /document."""
    try:
        return cacao_form.load(json.dumps(document))
    except Invalid as error:
        problems = [
            replace(each, pointer=f"/document{each.pointer}", line=None, column=None) for each in error.problems
        ]
        raise Invalid("this is no playbook that could run", problems) from error


def _digest(incident_id: str, body: Start) -> str:
    whole = json.dumps({"incident": incident_id, **body.model_dump()}, sort_keys=True)
    return hashlib.sha256(whole.encode("ascii")).hexdigest()
