"""Gathers what the guards must know of one action: from the incident, the counts, the votes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from soar.guards.approval import digest_of
from soar.guards.case import ApprovalFacts, Case, Counts, Vote
from soar.model import Entity, EntityKind, Observable, Target, Verdict
from soar.store import actions, incidents, people
from soar.store.rows import ActionRow
from soar.store.tables import approvals, evidence_items, observables, runs, switches, votes
from soar.verbs import BLOCK_VERB, VERBS

_VERB_TYPES: dict[str, list[str]] = {}
for _type, _verb in BLOCK_VERB.items():
    _VERB_TYPES.setdefault(_verb, []).append(_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What approval a step wants: any of these roles, so many persons."""

    any_of: tuple[str, ...]
    persons: int


def gather(
    conn: sa.Connection,
    action: ActionRow,
    now: datetime,
    *,
    urgency: str,
    ground: str,
    asked: Asked | None,
    waiting_since: datetime | None = None,
) -> Case:
    """The case of a stored action. `asked` is the approval that its step wants, if any."""
    incident = incidents.get(conn, action.incident_id)
    run = conn.execute(sa.select(runs).where(runs.c.id == action.run_id)).first() if action.run_id else None
    scope = incidents.scope_rows(conn, action.incident_id)
    starter = run.started_by if run and not run.automatic else ""
    in_run, in_hour = actions.count_called(conn, action.verb, run_id=action.run_id, since=actions.hour_before(now))
    counted = 0 if action.called_at else 1
    taken, box_started = _evidence(conn, action)
    victims = {
        text
        for row in scope
        if row.kind in (EntityKind.HOST.value, EntityKind.MAILBOX.value)
        for text in (*row.entity["addresses"], row.name)
    }
    return Case(
        verb=VERBS[action.verb],
        target=action.target,
        now=now,
        entity=_entity(scope, action.target),
        observable=observable_of(conn, action),
        params=action.params,
        adapter=action.adapter,
        direction="revert" if action.undo_of else "apply",
        automatic=bool(run.automatic) if run else False,
        starter_id=starter,
        confirmer_id=incident.confirmed_by or "",
        urgency=_urgency(urgency),
        ground=ground,
        counts=Counts(run=in_run + counted, hour=in_hour + counted),
        collected=taken,
        box_started=min(began) if (began := [at for at in (box_started, waiting_since) if at]) else None,
        approved_skip_evidence=_asked_without_evidence(action),
        victim_addresses=frozenset(victims),
        switches=frozenset(conn.execute(sa.select(switches.c.name)).scalars()),
        approval=_approval(conn, action, asked, starter or incident.confirmed_by or "", now),
        action_digest=action.digest,
    )


def _asked_without_evidence(action: ActionRow) -> bool:
    """The approval that was asked for named going on without evidence."""
    asked = any(finding["guard"] == "evidence" and finding["verdict"] == "ask" for finding in action.guards)
    return asked and action.approval_id is not None


def _urgency(word: str) -> Literal["immediate", "normal"]:
    return "immediate" if word == "immediate" else "normal"


def _entity(scope: Iterable[Any], target: Target) -> Entity | None:
    for row in scope:
        if row.kind == target.kind.value and row.entity_id == target.id:
            return incidents.entity_of(row)
    return None


def observable_of(conn: sa.Connection, action: ActionRow) -> Observable | None:
    """The incident's observable that an action is about, with what is held of it."""
    if action.target.kind is not EntityKind.OBSERVABLE:
        return None
    types = _VERB_TYPES.get(action.verb, [])
    kind, _, value = action.target.id.partition(":")
    row = conn.execute(
        sa.select(observables).where(
            observables.c.incident_id == action.incident_id,
            observables.c.type.in_(types or [kind]),
            observables.c.value == value,
        )
    ).first()
    if row is None:
        return None
    return Observable(type=row.type, value=row.value, verdict=Verdict(row.verdict), confidence=row.confidence)


def _evidence(conn: sa.Connection, action: ActionRow) -> tuple[frozenset[str], datetime | None]:
    """Classes taken from this target in this incident, and when the first collection began."""
    began = [
        row.called_at
        for row in actions.find(
            conn, incident_id=action.incident_id, verbs=("collect_evidence", "snapshot_host"), target=str(action.target)
        )
        if row.called_at
    ]
    return collected(conn, action), min(began) if began else None


def collected(conn: sa.Connection, action: ActionRow) -> frozenset[str]:
    """The classes of evidence that were taken from this action's target in its incident."""
    taken = conn.execute(
        sa.select(evidence_items.c.evidence_class)
        .distinct()
        .where(evidence_items.c.incident_id == action.incident_id, evidence_items.c.source == action.target.id)
    )
    return frozenset(taken.scalars())


def _approval(
    conn: sa.Connection, action: ActionRow, asked: Asked | None, starter: str, now: datetime
) -> ApprovalFacts | None:
    """The approval that covers this action: the one asked for, with its votes, or the wish for one."""
    if action.approval_id:
        row = conn.execute(sa.select(approvals).where(approvals.c.id == action.approval_id)).one()
        return facts_of(conn, row, starter, now)
    if asked is None:
        return None
    return ApprovalFacts(digest=action.digest, required=asked.persons, any_of=frozenset(asked.any_of))


def facts_of(conn: sa.Connection, row: Any, starter: str, now: datetime) -> ApprovalFacts:
    """An approval row with its votes, as the guards see it."""
    cast = conn.execute(sa.select(votes).where(votes.c.approval_id == row.id).order_by(votes.c.id)).all()
    set_up = people.set_up_until(conn)
    return ApprovalFacts(
        digest=row.digest,
        required=row.persons,
        any_of=frozenset(row.any_of),
        members=frozenset(row.digests),
        issuers=people.issuers_of_day(conn, starter, now) if starter else frozenset(),
        voters=tuple(
            Vote(
                person_id=vote.person_id,
                kind=vote.voter["kind"],
                decision=vote.decision,
                digest=vote.digest,
                roles=frozenset(vote.voter["roles"]),
                granted_by=frozenset(vote.voter["granted_by"]),
                setting_up=set_up is not None and vote.at < set_up,
            )
            for vote in cast
        ),
    )


def digest(action: ActionRow, playbook_digest: str) -> str:
    """What an approval of this action is bound to."""
    return digest_of(action.adapter, action.verb, action.target, action.params, action.lease_seconds, playbook_digest)
