"""Commands from outside (OpenC2) as direct actions: one step, under the same guards and approvals as any other.

What a playbook's author would have asked an approval for is not known here, so verbs of high risk
always ask one of a responder. Ending something goes through the release gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from soar import resolution
from soar.engine import approving, direct, planning, running
from soar.engine.parts import Parts
from soar.engine.run_state import UNDER_WAY, RunState
from soar.errors import Conflict, Invalid, NotFound, Problem, Refused, Unavailable
from soar.model import (
    ENGINE,
    Actor,
    Entity,
    EntityKind,
    IncidentStatus,
    Mention,
    Observable,
    ScopeStatus,
    Severity,
    Target,
)
from soar.openc2.language import Response, Status, Unsupported
from soar.openc2.words import Order, Timing
from soar.playbook.model import ActionStep, Playbook, Soar, one_step
from soar.protocol import GOOD, STANDING, State
from soar.store import actions, incidents, runs
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.verbs import BLOCK_VERB, VERBS, Risk

STANDING_REVIEW = 24 * 3600
"""Seconds after which somebody must look at what was contained without an end."""
_ASK = frozenset({Risk.HIGH, Risk.DESTRUCTIVE})
_REFUSED = frozenset({State.REFUSED, State.DENIED, State.LAPSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command that was understood: in whose name, in which incident (empty: a new one), and why."""

    order: Order
    timing: Timing
    by: Actor
    why: str
    incident: str = ""
    reason: str = "recovered"


def resolved(parts: Parts, order: Order) -> Entity | None:
    """The host or account that an order names, as the inventories know it now. Calls out: never inside a write.

    None where the target is neither, or no inventory is connected and an id was given. Raises NotFound
    for what nobody knows or what could be several things, Unavailable where an inventory kept silent.
    """
    kind = VERBS[order.verb].target_kind
    if kind not in (EntityKind.HOST, EntityKind.ACCOUNT):
        return None
    mention = Mention(kind=kind.value, value=order.target)
    (found,) = resolution.resolve(parts.directories, [mention], parts.clock.now())
    fitting = [each for each in found.entities if each.kind is kind]
    if len(fitting) > 1:
        names = ", ".join(sorted(each.id for each in fitting))
        raise NotFound(f"{kind.value} {order.target} could be any of {names}: name it by its id")
    if not fitting and found.silent:
        raise Unavailable("an inventory does not answer; try again")
    if not fitting and (order.by_name or parts.directories):
        raise NotFound(f"no inventory knows the {kind.value} {order.target}")
    return fitting[0] if fitting else None


def check(parts: Parts, order: Order) -> None:
    """Raises Unsupported unless a connected system can do the verb, Invalid for wrong parameters."""
    try:
        parts.adapter_for(order.verb)
    except NotFound as error:
        raise Unsupported(problems=[Problem(code="unsupported", message=error.message)]) from None
    if problems := VERBS[order.verb].problems(order.params):
        raise Invalid(problems=problems)


def begin(tx: Tx, parts: Parts, asked: Asked, entity: Entity | None) -> str:
    """Begin what was asked for; returns the run. Raises Conflict for a closed incident.

    The action is fixed now, as it was understood, and stands before the guards when its time comes.
    """
    order, verb = asked.order, VERBS[asked.order.verb]
    incident_id = _incident(tx, asked)
    target = _target(order, entity)
    if entity is not None:
        incidents.add_scope(tx, incident_id, entity, ScopeStatus.SUSPECTED, tx.now, asked.by)
    elif target.kind is EntityKind.OBSERVABLE:
        kind, _, value = target.id.partition(":")
        incidents.add_observable(tx, incident_id, Observable(type=kind, value=value), asked.by)
    params = {**order.params, verb.target_param: entity.id if entity else order.target}
    lease = int(asked.timing.lease.total_seconds())
    if lease and "duration" in verb.params:
        params["duration"] = lease
    review = STANDING_REVIEW if verb.contains and not lease else 0
    step = Soar(
        slug="command", verb=verb.name, with_=params, lease=lease, review=review,
        approval=approving.STANDARD if verb.risk in _ASK else None,
    )  # fmt: skip
    name = entity.name if entity else order.target
    book = _delayed(one_step("openc2-command", f"{verb.name} on {name}", step), asked.timing)
    run_id = running.start_run(
        tx, incident_id, book, {}, by=asked.by, why=asked.why, automatic=asked.by.kind != "person"
    )
    planned = planning.Planned(
        verb=verb.name, target=target, target_name=name, adapter=parts.adapter_for(verb.name).name, params=params,
        lease=lease, review=review,
    )  # fmt: skip
    run = runs.get(tx.conn, run_id)
    (visit,) = (each for each in RunState.from_plain(run.state).steps.values() if book.workflow[each.step_id].soar)
    caller = f"{asked.by.kind}:{asked.by.id}" if asked.by.kind == "person" else str(ENGINE)
    planning.insert(
        tx, planning.StepPlan(actions=(planned,)), run=run, step_path=visit.id, step=step.slug,
        generation=visit.attempt, caller=caller,
    )  # fmt: skip
    return run_id


def end(tx: Tx, asked: Asked, entity: Entity | None) -> str:
    """Begin to take back what an order ends (a release, an unblock); returns the run.

    Raises NotFound where nothing of the kind stands because of us, Conflict where several incidents
    hold it and none is named, Refused while the release gate is closed.
    """
    verb, target = VERBS[asked.order.verb], _target(asked.order, entity)
    told = {name: each for name, each in asked.order.params.items() if name not in (verb.target_param, "allow")}
    found = [row for row in _standing(tx.conn, verb.undoes) if row.target == target]
    return _undo(tx, asked, [row for row in found if all(row.params.get(name) == told[name] for name in told)])


def end_rule(tx: Tx, asked: Asked, number: int) -> str:
    """The same for a rule by its number. Raises as `end` does."""
    rows = [row for verb in sorted(set(BLOCK_VERB.values())) for row in _standing(tx.conn, verb)]
    return _undo(tx, asked, [row for row in rows if rule_number(row.id) == number])


def rule_number(action_id: str) -> int:
    """A block's number as SLPF wants one: 52 bits of its action's id, so that it needs no table and fits JSON."""
    return int.from_bytes(hashlib.sha256(action_id.encode("ascii")).digest()[:8], "big") >> 12


def response(conn: sa.Connection, run_id: str) -> Response:
    """What has become of a command, as OpenC2 says it."""
    run = runs.get(conn, run_id)
    found = actions.find(conn, run_id=run_id)
    row = found[-1] if found else None
    own: dict[str, Any] = {"run": run_id, "incident": f"INC-{incidents.get(conn, run.incident_id).number}"}
    if row is not None:
        own |= {"action": row.id, "state": row.state.value}
    results: dict[str, Any] = {"x-soar": own}
    if run.status in UNDER_WAY and not (row is not None and row.state in GOOD | _REFUSED):
        return Response(status=Status.PROCESSING, status_text=_waits(row), results=results)
    if row is not None and row.state in GOOD:
        if row.verb == "block_ip" and row.state in STANDING:
            results = {"slpf": {"rule_number": rule_number(row.id)}, **results}
        return Response(status=Status.OK, status_text=row.summary, results=results)
    if row is not None and row.state in _REFUSED:
        return Response(status=Status.FORBIDDEN, status_text=_why(row), results=results)
    said = (row.summary if row is not None else "") or run.reason or f"the run is {run.status}"
    return Response(status=Status.INTERNAL_ERROR, status_text=said, results=results)


def _waits(row: ActionRow | None) -> str:
    if row is not None and row.state is State.WAITING:
        return "waits for an approval"
    if row is not None and row.state is State.IN_DOUBT:
        return "nobody can tell yet what happened; a person must say"
    return "accepted"


def _why(row: ActionRow) -> str:
    reasons = [str(each.get("reason", "")) for each in row.guards if each.get("verdict") == "refuse"]
    return row.summary or "; ".join(filter(None, reasons)) or row.state.value


def _incident(tx: Tx, asked: Asked) -> str:
    if not asked.incident:
        title = f"OpenC2: {asked.order.verb} on {asked.order.target}"[:200]
        return incidents.open_new(tx, title, Severity.MEDIUM, asked.by, asked.why)
    row = incidents.get(tx.conn, asked.incident, lock=True)
    if row.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    return str(row.id)


def _target(order: Order, entity: Entity | None) -> Target:
    verb = VERBS[order.verb]
    if verb.target_kind is EntityKind.OBSERVABLE:
        blocks = verb.undoes or verb.name
        kind = next(kind for kind, name in BLOCK_VERB.items() if name == blocks)
        if blocks == "block_ip" and ":" in order.target:
            kind = "ipv6-addr"
        return Target(kind=EntityKind.OBSERVABLE, id=f"{kind}:{order.target}")
    return Target(kind=verb.target_kind, id=entity.id if entity else order.target)


def _delayed(book: Playbook, timing: Timing) -> Playbook:
    milliseconds = int(timing.delay.total_seconds() * 1000)
    if not milliseconds:
        return book
    steps = {
        key: replace(step, delay=milliseconds) if isinstance(step, ActionStep) else step
        for key, step in book.workflow.items()
    }
    return replace(book, workflow=steps)


def _standing(conn: sa.Connection, verb: str) -> list[ActionRow]:
    return [row for row in actions.find(conn, verbs=(verb,), states=STANDING) if not row.undo_of]


def _undo(tx: Tx, asked: Asked, found: list[ActionRow]) -> str:
    if asked.incident:
        own = incidents.get(tx.conn, asked.incident).id
        found = [row for row in found if row.incident_id == own]
    if not found:
        raise NotFound("nothing of the kind stands here because of us")
    if len({row.incident_id for row in found}) > 1:
        raise Conflict("several incidents hold this: name one in args.x-soar.incident")
    if asked.timing.delay:
        raise Unsupported(problems=[Problem(code="unsupported", message="a release begins now; leave out start_time")])
    try:
        return direct.undo(tx, found[-1].id, reason=asked.reason, why=asked.why, by=asked.by)
    except Refused as error:
        raise Refused(error.message, **{**error.details, "action": found[-1].id}) from None


def pairs(parts: Parts) -> Mapping[str, list[str]]:
    """What can be asked of us now: actions and their targets, by the systems that are connected."""
    found: dict[str, set[str]] = {"query": {"features", "command"}}
    for verb in VERBS.values():
        action, _, target = verb.openc2.partition(" ")
        done = [each for each in parts.adapters.values() if verb.name in each.verbs]
        if action and done:
            found.setdefault(action, set()).add(target)
            if target == "ipv4_net":
                found[action].add("ipv6_net")
                found.setdefault("delete", set()).add("slpf:rule_number")
    return {action: sorted(targets) for action, targets in sorted(found.items())}
