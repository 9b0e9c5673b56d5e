"""A playbook as a step of another (section 4.6): a run of its own on the same incident, which the step waits for.

The step that calls parks on its work row; the run that it has called names that row and wakes it when
it ends. Whoever cancels, pauses or resumes the caller does the same to what it has called.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from soar.engine import binding, control, running
from soar.engine.job import Done, Ended, Job, Parked, as_it_is
from soar.engine.parts import Parts
from soar.engine.run_state import UNDER_WAY, RunState
from soar.engine.scopes import seen_at
from soar.errors import Invalid, Problem
from soar.model import ENGINE, Actor
from soar.playbook.model import Playbook, PlaybookActionStep
from soar.playbook.vocabulary import bare_name
from soar.store import incidents, runs
from soar.store.session import Tx

DEEPEST = 8
"""How many playbooks may stand inside one another: one that calls itself ends here."""


def perform(parts: Parts, job: Job) -> Done:
    """Begin the called run, or take what came of it. Raises Invalid, NotFound and Refused where it cannot begin."""
    with parts.store.read() as conn:
        called = runs.called_by(conn, job.work.id)
        if called is None:
            return as_it_is(_begun(parts, conn, job))
        if called.status in UNDER_WAY:
            return as_it_is(Parked(f"waits for the playbook {called.playbook_slug}"))
        callee = runs.playbook(conn, called.playbook_digest)
    return as_it_is(_came_of(called, callee))


def call_off(job: Job) -> Done:
    """Nobody waits for the called run any more: it is cancelled. What it contained stays and is listed."""

    def write(tx: Tx) -> Ended:
        called = runs.called_by(tx.conn, job.work.id)
        if called is not None and called.status in UNDER_WAY:
            control.cancel_run(tx, called.id, ENGINE, "the step that called it was called off")
        return Ended("failed", reason="called off")

    return Done(write, Ended("failed", reason="called off"))


def _begun(parts: Parts, conn: sa.Connection, job: Job) -> Parked:
    step = job.playbook.workflow[job.work.step_id]
    assert isinstance(step, PlaybookActionStep)
    if runs.depth(conn, job.run, DEEPEST) >= DEEPEST:
        said = f"{step.label}: {DEEPEST} playbooks stand inside one another; a playbook may not call itself"
        raise Invalid(said, [Problem(code="too_deep", message=said)])
    callee = runs.version(conn, step.playbook_id, step.playbook_version)
    parts.gate.admit(callee, parts.clock.now())
    given = _given(job, step, callee)
    inputs = binding.initial_inputs(callee, incidents.facts(conn, job.run.incident_id), given)
    return Parked(f"waits for the playbook {callee.slug or callee.name}", partial(_begin, job, callee, inputs))


def _begin(job: Job, callee: Playbook, inputs: Mapping[str, Any], tx: Tx) -> None:
    run = job.run
    running.start_run(
        tx, run.incident_id, callee, inputs, by=Actor(kind=run.started_kind, id=run.started_by, name=run.started_by),
        why=f"called by {job.playbook.slug or job.playbook.name}", automatic=run.automatic, called_by=job.work.id,
    )  # fmt: skip


def _given(job: Job, step: PlaybookActionStep, callee: Playbook) -> dict[str, Any]:
    """The caller's variables that go in, under their own names."""
    seen = seen_at(job.state.variables, job.state.steps, job.work.occurrence)
    names = [bare_name(name) for name in step.in_args]
    missing = [name for name in names if name not in seen]
    if missing:
        message = f"{step.label} hands on {missing[0]}, which has no value here"
        raise Invalid(message, [Problem(code="missing_value", message=message)])
    return {name: seen[name] for name in names if name in callee.variables}


def _came_of(called: Any, callee: Playbook) -> Ended:
    """How the called run ended, with its variables as outputs."""
    if called.status != "succeeded":
        said = f"{callee.slug or callee.name} {called.status}: {called.reason}".removesuffix(": ")
        return Ended("failed", reason=said)
    return Ended("ok", outputs=dict(RunState.from_plain(called.state).variables))
