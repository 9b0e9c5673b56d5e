"""The release gate with its facts: what the database knows about the target since it was contained."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from soar.engine import effects
from soar.engine.casefile import observable_of
from soar.events import Kind
from soar.model import ENGINE, Actor, EntityKind, ScopeStatus, Target, Verdict
from soar.protocol import STANDING, UNSETTLED, State
from soar.release import GateVerdict, HostProof, Reason, Release, ReleaseFacts, gate
from soar.store import actions, incidents
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.verbs import VERBS

_INNOCENT = frozenset({ScopeStatus.SUSPECTED, ScopeStatus.CLEARED})
_PROVED = frozenset({State.DONE, State.VERIFIED, State.ACTIVE, State.SATISFIED, State.NOT_EFFECTIVE})


def verdict(conn: sa.Connection, original: ActionRow, reason: str, *, by_hand: bool = True) -> GateVerdict:
    """Would the gate let this containment end, for this reason? What is missing is said in words."""
    observed = observable_of(conn, original)
    return gate(
        Release(
            verb=VERBS[original.verb],
            target=original.target,
            contained_at=original.verified_at or original.created_at,
            reason=Reason(reason),
            facts=_facts(conn, original),
            verdict=observed.verdict if observed else Verdict.UNKNOWN,
            by_hand=by_hand,
        )
    )


def refusal(tx: Tx, undo: ActionRow) -> str:
    """Why this undo may not run now; empty when it may. A refusal by the gate is an event."""
    original = actions.get(tx.conn, undo.undo_of or "")
    if original.state not in STANDING:
        return f"there is nothing to undo: {original.verb} on {original.target_name} is {original.state.value}"
    if any(other.id != undo.id for other in undone_by(tx.conn, original.id, UNSETTLED)):
        return "another undo of it is under way"
    gated = verdict(tx.conn, original, undo.undo_reason, by_hand=undo.caller != str(ENGINE))
    if gated.allowed:
        return ""
    said = "; ".join(gated.missing)
    report(tx, original, said, ENGINE)
    return f"the release gate is closed: {said}"


def undone_by(conn: sa.Connection, action_id: str, states: Collection[State]) -> list[ActionRow]:
    """The undos of an action that are in one of these states."""
    original = actions.get(conn, action_id)
    found = actions.find(conn, target=str(original.target), states=states)
    return [row for row in found if row.undo_of == action_id]


def wants_second_person(conn: sa.Connection, undo: ActionRow) -> bool:
    """The gate asks for an approval of this undo, whatever the playbook names."""
    original = actions.get(conn, undo.undo_of or "")
    return verdict(conn, original, undo.undo_reason, by_hand=undo.caller != str(ENGINE)).needs_approval


def report(tx: Tx, original: ActionRow, said: str, actor: Actor) -> None:
    """Write down that a release was asked for and refused."""
    incidents.event(
        tx, original.incident_id, Kind.RELEASE_REFUSED, actor=actor,
        data={"action": original.id, "verb": original.verb},
        values={"target": str(original.target), "missing": said},
    )  # fmt: skip


def actor_of(action: ActionRow) -> Actor:
    """On whose behalf an action is done, as an actor for events."""
    kind, _, name = action.caller.partition(":")
    return Actor(kind=kind, id=name, name=name)


def _facts(conn: sa.Connection, original: ActionRow) -> ReleaseFacts:
    target = str(original.target)
    return ReleaseFacts(
        hosts=tuple(_proof(conn, host) for host in _hosts(conn, original)),
        credential_reset_at=_when(_latest(conn, target, "reset_password")),
        sessions_revoked_at=_when(_latest(conn, target, "revoke_sessions")),
        others_holding=effects.others_holding(conn, original),
    )


def _hosts(conn: sa.Connection, original: ActionRow) -> list[Target]:
    """The host that is held; for a network each host of the incident that was affected."""
    if VERBS[original.verb].target_param != "network":
        return [original.target]
    rows = incidents.scope_rows(conn, original.incident_id)
    return [
        Target(kind=EntityKind.HOST, id=row.entity_id)
        for row in rows
        if row.kind == EntityKind.HOST and row.status not in _INNOCENT and row.entity_id != original.target.id
    ]


def _proof(conn: sa.Connection, host: Target) -> HostProof:
    clean = _latest(conn, str(host), "verify_clean")
    return HostProof(
        host=host,
        clean_check=(clean.called_at, clean.outputs.get("clean") is True) if clean and clean.called_at else None,
        rebuilt_at=_when(_latest(conn, str(host), "rebuild_host")),
    )


def _latest(conn: sa.Connection, target: str, verb: str) -> ActionRow | None:
    found = actions.find(conn, target=target, verbs=(verb,), states=_PROVED)
    return found[-1] if found else None


def _when(action: ActionRow | None) -> datetime | None:
    return (action.verified_at or action.ended_at) if action else None
