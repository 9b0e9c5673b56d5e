"""Gathers what the guards must know of one action: from the incident, the counts, the votes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from soar.guards.approval import digest_of
from soar.guards.case import ApprovalFacts, Case, Vote
from soar.model import Entity, EntityKind, Observable, Target, Verdict
from soar.playbook.document import to_document
from soar.playbook.trust import markings
from soar.playbook.trust.markings import Tlp
from soar.store import actions, incidents, people, runs
from soar.store.rows import ActionRow
from soar.store.statement import Statement
from soar.store.tables import approvals, evidence_items, observables, scope, switches, votes
from soar.store.tables import incidents as incidents_table
from soar.verbs import BLOCK_VERB, VERBS

_VERB_TYPES: dict[str, list[str]] = {}
for _type, _verb in BLOCK_VERB.items():
    _VERB_TYPES.setdefault(_verb, []).append(_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What approval a step wants: any of these roles, so many persons."""

    any_of: tuple[str, ...]
    persons: int


@dataclass(frozen=True, slots=True)
class Around:
    """What an incident knows around one target, read at once: its name and entity, who confirmed, what is stopped."""

    name: str
    entity: Entity | None
    confirmer: str
    switches: frozenset[str]


def around(conn: sa.Connection, incident_id: str, target: Target) -> Around:
    """What is known of a target now. The name of one that is not in scope is its id."""
    wanted = {"of": incident_id, "of_kind": target.kind.value, "named": target.id}
    found = _AROUND.run(conn, wanted).all()
    known = found[0]
    return Around(
        name=target.id if known.name is None else known.name,
        entity=incidents.entity_of(known) if known.entity is not None else None,
        confirmer=known.confirmed_by or "",
        switches=frozenset(row.thrown for row in found if row.thrown is not None),
    )


def gather(
    conn: sa.Connection,
    action: ActionRow,
    now: datetime,
    *,
    urgency: str,
    ground: str,
    asked: Asked | None,
    run: Any | None = None,
    waiting_since: datetime | None = None,
    known: Around | None = None,
) -> Case:
    """The case of a stored action. `asked` is the approval that its step wants, if any; `known` was read
    in this same transaction.

    What no guard would look at is not read: no evidence where none is destroyed. What caps count is
    filled in by soar.engine.limits.
    """
    verb = VERBS[action.verb]
    if run is None and action.run_id:
        run = runs.get(conn, action.run_id)
    known = known or around(conn, action.incident_id, action.target)
    starter = run.started_by if run and not run.automatic else ""
    taken, box_started = _evidence(conn, action) if verb.destroys else (frozenset(), None)
    return Case(
        verb=verb,
        target=action.target,
        now=now,
        entity=known.entity,
        observable=observable_of(conn, action),
        params=action.params,
        adapter=action.adapter,
        direction="revert" if action.undo_of else "apply",
        automatic=bool(run.automatic) if run else False,
        starter_id=starter,
        confirmer_id=known.confirmer,
        urgency=_urgency(urgency),
        ground=ground,
        collected=taken,
        box_started=min(began) if (began := [at for at in (box_started, waiting_since) if at]) else None,
        approved_skip_evidence=_asked_without_evidence(action),
        victim_addresses=_victims(conn, action),
        switches=known.switches,
        approval=_approval(conn, action, asked, starter or known.confirmer, now),
        action_digest=action.digest,
        marking=marking_of(conn, run.playbook_digest) if run else None,
    )


def marking_of(conn: sa.Connection, playbook_digest: str) -> Tlp | None:
    """The level that a playbook is marked with."""
    if playbook_digest not in _MARKINGS:
        _MARKINGS[playbook_digest] = markings.read(to_document(runs.playbook(conn, playbook_digest))).level
    return _MARKINGS[playbook_digest]


_MARKINGS: dict[str, Tlp | None] = {}
"""By digest, which names one content for ever."""
_AROUND = Statement(
    sa.select(incidents_table.c.confirmed_by, scope.c.name, scope.c.entity, switches.c.name.label("thrown"))
    .outerjoin_from(
        incidents_table, scope,
        sa.and_(
            scope.c.incident_id == incidents_table.c.id, scope.c.kind == sa.bindparam("of_kind"),
            scope.c.entity_id == sa.bindparam("named"),
        ),
    )
    .outerjoin(switches, sa.true())
    .where(incidents_table.c.id == sa.bindparam("of"))
)  # fmt: skip
"""Of one target in one incident, with every kill switch that is on: a row for each, or one with none."""
_BLOCKS = frozenset(BLOCK_VERB.values())


def _victims(conn: sa.Connection, action: ActionRow) -> frozenset[str]:
    """Addresses and names of the incident's own hosts and mailboxes: nobody blocks those."""
    if action.verb not in _BLOCKS:
        return frozenset()
    return frozenset(
        text
        for row in incidents.scope_rows(conn, action.incident_id)
        if row.kind in (EntityKind.HOST.value, EntityKind.MAILBOX.value)
        for text in (*row.entity["addresses"], row.name)
    )


def _asked_without_evidence(action: ActionRow) -> bool:
    """The approval that was asked for named going on without evidence."""
    asked = any(finding["guard"] == "evidence" and finding["verdict"] == "ask" for finding in action.guards)
    return asked and action.approval_id is not None


def _urgency(word: str) -> Literal["immediate", "normal"]:
    return "immediate" if word == "immediate" else "normal"


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
    return collected(conn, action.incident_id, action.target), min(began) if began else None


def collected(conn: sa.Connection, incident_id: str, target: Target) -> frozenset[str]:
    """The classes of evidence that were taken from a target in an incident."""
    taken = _TAKEN.run(conn, {"of": incident_id, "named": target.id}).all()
    return frozenset(row.evidence_class for row in taken)


_TAKEN = Statement(
    sa.select(evidence_items.c.evidence_class)
    .distinct()
    .where(evidence_items.c.incident_id == sa.bindparam("of"), evidence_items.c.source == sa.bindparam("named"))
)


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
        unopposed=row.status == "unopposed",
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
