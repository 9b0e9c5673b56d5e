"""From a step to its actions: targets and parameters resolved once, one action for each target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar.engine import casefile
from soar.engine.binding import bind, turns
from soar.engine.parts import Parts
from soar.errors import Invalid, NotFound
from soar.ids import new_id
from soar.model import EntityKind, Observable, Target, Verdict
from soar.playbook.model import Soar
from soar.protocol import STANDING
from soar.store import actions, incidents
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.verbs import BLOCK_VERB, VERBS, Verb

INCIDENT = "incident"
"""The template value that stands for the incident of the run."""
_BLOCKS = "block_indicators"
DIRECT = "action:"
"""In front of an action's id where an undo names the action itself instead of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One action as it would be: what is done to what, through which adapter."""

    verb: str
    target: Target
    target_name: str
    adapter: str
    params: Mapping[str, Any]
    lease: int
    review: int
    undo_of: str = ""
    undo_reason: str = ""
    renews: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """The actions of a step, and what was left out with the reason for each."""

    actions: tuple[Planned, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def plan_step(
    parts: Parts, conn: sa.Connection, incident_id: str, run_id: str | None, soar: Soar, variables: Mapping[str, Any]
) -> StepPlan:
    """What this step would do, given the variables that are known.

    Raises Invalid when a variable is missing or a parameter has the wrong type, NotFound when no
    adapter can do the verb.
    """
    if soar.undo:
        return _plan_undo(conn, run_id, soar)
    if soar.verb == _BLOCKS:
        return _plan_blocks(parts, conn, incident_id, soar)
    planned = plan_unread(parts, incident_id, soar, variables)
    return StepPlan(actions=tuple(replace(each, target_name=_name(conn, incident_id, each.target)) for each in planned))


def reads(soar: Soar) -> bool:
    """What this step acts on stands in the database, not in the playbook and its variables."""
    return bool(soar.undo) or soar.verb == _BLOCKS


def plan_unread(parts: Parts, incident_id: str, soar: Soar, variables: Mapping[str, Any]) -> tuple[Planned, ...]:
    """What this step would do, without reading anything: the targets have no names but their ids.

    Not for a step that `reads`. Raises what `plan_step` raises.
    """
    verb = VERBS[soar.verb]
    if verb.undoes:
        raise Invalid(
            f"{soar.slug}: {verb.name} takes something back; write it as undo, so that the release gate is asked"
        )
    return tuple(_plan_one(parts, incident_id, verb, soar, each) for each in turns(soar, variables))


def rows_of(
    wanted: Iterable[Planned], *, run: Any, step_path: str, step: str, generation: int, caller: str, now: datetime
) -> list[ActionRow]:
    """A step's actions as they will be stored, each with the key that its call will carry."""
    rows = []
    for index, planned in enumerate(wanted):
        row = ActionRow(
            id=new_id(), origin=f"run:{run.id}", step_path=step_path, command_index=index, target=planned.target,
            target_name=planned.target_name, verb=planned.verb, generation=generation, adapter=planned.adapter,
            params=dict(planned.params), incident_id=run.incident_id, run_id=run.id, step=step,
            undo_of=planned.undo_of or None, undo_reason=planned.undo_reason, renews=planned.renews or None,
            lease_seconds=planned.lease, review_seconds=planned.review, caller=caller, created_at=now,
        )  # fmt: skip
        rows.append(row.but(digest=casefile.digest(row, run.playbook_digest)))
    return rows


def insert(
    tx: Tx, plan: StepPlan, *, run: Any, step_path: str, step: str, generation: int, caller: str
) -> list[ActionRow]:
    """Store a step's actions under their unique keys; those that stand already are returned as they are."""
    rows = rows_of(
        plan.actions, run=run, step_path=step_path, step=step, generation=generation, caller=caller, now=tx.now
    )
    return [actions.insert(tx, row) for row in rows]


def _plan_one(parts: Parts, incident_id: str, verb: Verb, soar: Soar, variables: Mapping[str, Any]) -> Planned:
    params = {name: bind(value, variables) for name, value in (soar.with_ or {}).items()}
    if verb.target_kind is EntityKind.INCIDENT and params.get(verb.target_param) == INCIDENT:
        params[verb.target_param] = incident_id
    problems = verb.problems(params)
    if problems:
        raise Invalid(f"{soar.slug}: {problems[0]}", problems)
    target = Target(kind=verb.target_kind, id=str(params[verb.target_param]))
    return Planned(
        verb=verb.name,
        target=target,
        target_name=target.id,
        adapter=parts.adapter_for(verb.name).name,
        params=params,
        lease=int(soar.lease or 0),
        review=int(soar.review or 0),
    )


def _plan_blocks(parts: Parts, conn: sa.Connection, incident_id: str, soar: Soar) -> StepPlan:
    """One block for each observable of the incident that is held malicious; the rest is named."""
    planned: list[Planned] = []
    left_out: list[tuple[str, str]] = []
    for found in incidents.observables_of(conn, incident_id):
        why = _not_blockable(parts, found)
        if why:
            left_out.append((found.id, why))
            continue
        verb = VERBS[BLOCK_VERB[found.type]]
        params: dict[str, Any] = {verb.target_param: found.value}
        if soar.lease:
            params["duration"] = int(soar.lease)
        planned.append(
            Planned(
                verb=verb.name, target=Target(kind=EntityKind.OBSERVABLE, id=found.id), target_name=found.value,
                adapter=parts.adapter_for(verb.name).name, params=params, lease=int(soar.lease or 0), review=0,
            )
        )  # fmt: skip
    return StepPlan(actions=tuple(planned), left_out=tuple(left_out))


def _not_blockable(parts: Parts, found: Observable) -> str:
    if found.type not in BLOCK_VERB:
        return f"nothing blocks a {found.type}"
    if found.verdict is not Verdict.MALICIOUS or found.confidence < parts.policy.block_confidence:
        return f"held {found.verdict.value} with confidence {found.confidence}"
    try:
        parts.adapter_for(BLOCK_VERB[found.type])
    except NotFound as error:
        return error.message
    return ""


def _plan_undo(conn: sa.Connection, run_id: str | None, soar: Soar) -> StepPlan:
    """The inverse of each action that the named steps of this run left standing (or one by its id)."""
    reason = soar.reason or "recovered"
    named = [actions.get(conn, key.removeprefix(DIRECT)) for key in soar.undo if key.startswith(DIRECT)] + [
        row
        for row in (actions.find(conn, run_id=run_id, states=STANDING) if run_id else [])
        if row.step in soar.undo and not row.undo_of
    ]
    return StepPlan(actions=tuple(undo_of(original, reason) for original in named))


def undo_of(original: ActionRow, reason: str) -> Planned:
    """The action that takes another one back."""
    inverse = VERBS[original.verb].inverse
    if not inverse:
        raise Invalid(f"{original.verb} cannot be taken back")
    params = {name: value for name, value in original.params.items() if name in VERBS[inverse].params}
    return Planned(
        verb=inverse, target=original.target, target_name=original.target_name, adapter=original.adapter,
        params=params, lease=0, review=0, undo_of=original.id, undo_reason=reason,
    )  # fmt: skip


def _name(conn: sa.Connection, incident_id: str, target: Target) -> str:
    return incidents.scope_name(conn, incident_id, target) or target.id
