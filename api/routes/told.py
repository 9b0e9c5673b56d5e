"""Rows as they are told: what several routes answer alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from api.views.base import mapping, pick
from api.views.incidents import Incident, IncidentLine, Observable, alert_line, scope_row
from api.views.runs import Proposal, Run, RunAction, RunLine, StepRow
from api.views.tasks import Task
from soar import timeline
from soar.engine.run_state import RunState
from soar.engine.turn import broken
from soar.events import Kind
from soar.model import Event, Severity
from soar.store import actions, incidents, people, runs, streams, tasks
from soar.store.rows import ActionRow
from soar.store.tables import alerts, observables
from soar.store.tables import runs as run_table


def line(conn: sa.Connection, row: Any) -> IncidentLine:
    """An incident in a list."""
    return IncidentLine(**_line(conn, row))


def detail(conn: sa.Connection, row: Any, now: datetime) -> Incident:
    """An incident with everything that belongs to it."""
    events = streams.read(conn, streams.incident_stream(row.id))
    own = list(conn.execute(sa.select(run_table).where(run_table.c.incident_id == row.id).order_by(run_table.c.id)))
    seen = conn.execute(sa.select(observables).where(observables.c.incident_id == row.id).order_by(observables.c.id))
    came = conn.execute(sa.select(alerts).where(alerts.c.incident_id == row.id).order_by(alerts.c.id))
    return Incident(
        **_line(conn, row),
        phase=timeline.timeline(events, now).current.value,
        scope=[scope_row(each) for each in incidents.scope_rows(conn, row.id)],
        observables=[Observable.model_validate(each) for each in seen],
        alerts=[alert_line(each) for each in came],
        runs=[run_line(conn, each) for each in own],
        proposals=_proposals(events, own),
        tasks=[Task.model_validate(each) for each in tasks.find(conn, incident_id=row.id, status="open")],
    )


def run_line(conn: sa.Connection, row: Any) -> RunLine:
    """A run in a list."""
    return RunLine(**_run(conn, row))


def run(conn: sa.Connection, run_id: str) -> Run:
    """A run with the state of its steps; raises NotFound."""
    row = runs.get(conn, run_id)
    done = actions.find(conn, run_id=row.id)
    return Run(
        **_run(conn, row), incident_id=row.incident_id, inputs=row.inputs, steps=_steps(conn, row),
        actions=[pick(RunAction, action(each)) for each in done],
    )  # fmt: skip


def action(row: ActionRow) -> dict[str, Any]:
    """An action as plain data, with the id of its target alone beside `kind:id`."""
    return {**row.as_plain(), "target_id": row.target.id}


def _line(conn: sa.Connection, row: Any) -> dict[str, Any]:
    named = {name: people.named(conn, who) if (who := getattr(row, name)) else None
             for name in ("declared_by", "confirmed_by")}  # fmt: skip
    own = {name: value for name, value in mapping(row).items() if name in IncidentLine.model_fields}
    return {**own, **named, "name": f"INC-{row.number}", "severity": Severity.of(row.severity_id).value}


def _run(conn: sa.Connection, row: Any) -> dict[str, Any]:
    own = {name: value for name, value in mapping(row).items() if name in RunLine.model_fields}
    started_by = people.named(conn, row.started_by)
    return {**own, "playbook": row.playbook_slug, "digest": row.playbook_digest, "started_by": started_by}


def _steps(conn: sa.Connection, row: Any) -> list[StepRow]:
    """The visits of steps in their order; what stands between them (starts, ends) is nobody's business."""
    workflow = runs.playbook(conn, row.playbook_digest).workflow
    state = RunState.from_plain(row.state)
    held, places = {each.occurrence for each in state.held}, broken(state)
    found = []
    for visit in state.steps.values():
        soar = workflow[visit.step_id].soar
        found.append(
            StepRow(
                step=(soar.slug if soar else "") or workflow[visit.step_id].label, verb=soar.verb if soar else "",
                occurrence=visit.id, status=visit.status, attempt=visit.attempt, outputs=dict(visit.outputs),
                reason=visit.reason, held=visit.id in held, broken=visit.id in places,
            )
        )  # fmt: skip
    return found


def _proposals(events: list[Event], own: list[Any]) -> list[Proposal]:
    """What was proposed and has not been started since, the newest proposal of each playbook."""
    found: dict[str, Proposal] = {}
    for event in events:
        if event.kind == Kind.RUN_PROPOSED:
            slug = event.data["playbook"]
            why = str(event.values.get("why", ""))
            found[slug] = Proposal(playbook=slug, digest=event.data["digest"], why=why, at=event.at)
    begun = {run.playbook_slug: run.created_at for run in own}
    return [each for slug, each in found.items() if slug not in begun or begun[slug] < each.at]
