"""Approvals as rows: asked for once, voted on by persons, decided, or timed out.

An approval is bound to the digest of exactly the actions it was asked for. Nobody waits for it:
the work that needs it is parked, and woken by the vote that decides, or by its timer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from soar.engine import casefile
from soar.engine.casefile import Asked
from soar.engine.planning import Planned
from soar.errors import Conflict, NotFound, Refused
from soar.events import Kind
from soar.guards.approval import VoteCount, count_votes, group_digest
from soar.ids import new_id
from soar.model import ENGINE, Actor
from soar.playbook.model import Approval
from soar.playbook.trust.gate import Gate
from soar.protocol import State
from soar.store import actions, incidents, people, work
from soar.store import runs as run_rows
from soar.store.rows import ActionRow, WorkRow
from soar.store.session import Tx
from soar.store.tables import approvals, runs, votes
from soar.verbs import VERBS, OnExpiry, Risk

STANDARD = Approval(any_of=("responder",), persons=1, within=4 * 3600, on_timeout="escalate")
"""What the engine asks where it wants an approval and the playbook names none."""


def wanted(acts: Iterable[Planned | ActionRow], named: Approval | None) -> Approval | None:
    """The approval that the playbook names, or the standard one where the engine insists on one.

    It insists on destructive verbs, and on ending what only a person may end.
    """
    if named is not None:
        return named
    insists = any(
        VERBS[act.verb].risk is Risk.DESTRUCTIVE
        or (act.undo_of and VERBS[VERBS[act.verb].undoes].on_expiry is OnExpiry.HOLD)
        for act in acts
    )
    return STANDARD if insists else None


def may_go_on_unopposed(acts: Iterable[Planned | ActionRow]) -> bool:
    """Silence is never consent to what cannot be taken back, nor to what ends a containment."""
    return not any(act.undo_of or VERBS[act.verb].risk is Risk.DESTRUCTIVE for act in acts)


def asked_of(approval: Approval) -> Asked:
    """The guards' view of an approval that a step asks for."""
    return Asked(any_of=tuple(approval.any_of), persons=approval.persons)


def ask(tx: Tx, rows: Sequence[ActionRow], approval: Approval, held: WorkRow, run: Any) -> str:
    """Ask for one approval of all these waiting actions. Returns its id."""
    digests = sorted({row.digest for row in rows})
    approval_id = new_id()
    expires = tx.now + timedelta(seconds=approval.within) if approval.within else None
    subject = "; ".join(f"{row.verb} on {row.target_name} through {row.adapter}" for row in rows)
    tx.conn.execute(
        approvals.insert().values(
            id=approval_id, incident_id=run.incident_id, run_id=run.id, work_id=held.id, subject=subject,
            digest=digests[0] if len(digests) == 1 else group_digest(digests), digests=digests,
            any_of=list(approval.any_of), persons=approval.persons, on_timeout=approval.on_timeout, status="open",
            asked_by=run.started_by, asked_at=tx.now, expires_at=expires, escalations=0,
        )
    )  # fmt: skip
    for row in rows:
        actions.note(tx, row, approval_id=approval_id)
    if expires:
        work.arm(tx, expires, "approval", approval_id, 0, {"within": approval.within})
    incidents.event(
        tx, run.incident_id, Kind.APPROVAL_ASKED,
        data={"approval": approval_id, "run": run.id, "persons": approval.persons, "any_of": list(approval.any_of)},
        values={"subject": subject},
    )  # fmt: skip
    return approval_id


def get(conn: sa.Connection, approval_id: str) -> Any:
    """One approval; raises NotFound."""
    row = conn.execute(sa.select(approvals).where(approvals.c.id == approval_id)).first()
    if row is None:
        raise NotFound(f"no approval {approval_id!r}")
    return row


def _locked(tx: Tx, approval_id: str) -> Any:
    """One approval that nobody else decides before this commit; its run is locked first, as everywhere."""
    row = get(tx.conn, approval_id)
    if row.run_id is not None:
        run_rows.get(tx.conn, row.run_id, lock=True)
    return tx.conn.execute(
        sa.select(approvals).where(approvals.c.id == approval_id).with_for_update(key_share=True)
    ).one()


def count(conn: sa.Connection, row: Any, now: Any) -> VoteCount:
    """Who has approved, who denied, and whose vote does not count, with the reason."""
    run = conn.execute(sa.select(runs).where(runs.c.id == row.run_id)).one()
    incident = incidents.get(conn, row.incident_id)
    starter = "" if run.automatic else run.started_by
    confirmer = (incident.confirmed_by or "") if run.automatic else ""
    facts = casefile.facts_of(conn, row, starter or confirmer, now)
    return count_votes(facts, starter=starter, confirmer=confirmer, digest=row.digest)


def vote(tx: Tx, approval_id: str, actor: Actor, decision: str, reason: str, digest: str) -> VoteCount:
    """Cast a person's vote on exactly this digest; the vote that decides wakes the work.

    Raises Conflict when the approval is decided already, was asked for something else, or this
    person has voted; Refused when this person's vote cannot count, saying why.
    """
    row = _locked(tx, approval_id)
    if row.status != "open":
        raise Conflict(f"this approval is {row.status} already")
    if digest != row.digest:
        raise Conflict("this approval is for something else now; read it again before voting")
    twice = sa.select(votes.c.id).where(votes.c.approval_id == approval_id, votes.c.person_id == actor.id)
    if tx.conn.execute(twice).first():
        raise Conflict("you have voted on this already")
    granted_by = sorted(people.issuers_of_day(tx.conn, actor.id, tx.now))
    tx.conn.execute(
        votes.insert().values(
            id=new_id(), approval_id=approval_id, person_id=actor.id, decision=decision, reason=reason, digest=digest,
            voter={"kind": actor.kind, "roles": sorted(actor.roles), "granted_by": granted_by}, at=tx.now,
        )
    )  # fmt: skip
    counted = count(tx.conn, row, tx.now)
    ignored = dict(counted.ignored)
    if actor.id in ignored:
        raise Refused(f"your vote does not count: {ignored[actor.id]}")
    incidents.event(
        tx, row.incident_id, Kind.APPROVAL_VOTED, actor=actor,
        data={"approval": approval_id, "decision": decision, "digest": digest}, values={"reason": reason},
    )  # fmt: skip
    if counted.denied_by:
        _decide(tx, row, "denied", State.DENIED, f"denied by {actor.name}: {reason}", actor)
    elif counted.granted:
        _decide(tx, row, "approved", State.READY, f"approved by {actor.name}: {reason}", actor)
    return counted


def time_out(tx: Tx, gate: Gate, approval_id: str, data: Any) -> None:
    """Nobody decided in time: escalate and wait on, deny, or go on where a signed playbook says so."""
    row = _locked(tx, approval_id)
    if row.status != "open":
        return
    if row.on_timeout == "deny":
        _decide(tx, row, "lapsed", State.LAPSED, "nobody decided in time", ENGINE)
        return
    if row.on_timeout == "go_on" and (signer := _lets_silence_go_on(tx, gate, row)):
        said = f"nobody decided in time, and the playbook that {signer} signed goes on then"
        _decide(tx, row, "unopposed", State.READY, said, ENGINE)
        return
    expires = tx.now + timedelta(seconds=data.get("within") or STANDARD.within)
    tx.conn.execute(
        approvals.update()
        .where(approvals.c.id == approval_id)
        .values(escalations=row.escalations + 1, expires_at=expires)
    )
    work.arm(tx, expires, "approval", approval_id, 0, data)
    incidents.event(
        tx, row.incident_id, Kind.APPROVAL_ASKED, data={"approval": approval_id, "escalation": row.escalations + 1},
        values={"subject": row.subject},
    )  # fmt: skip


def _lets_silence_go_on(tx: Tx, gate: Gate, row: Any) -> str:
    """Who signed the playbook that says so, of those whom we trust; empty where silence is no consent."""
    if not may_go_on_unopposed(actions.find(tx.conn, approval_id=row.id)):
        return ""
    run = run_rows.get(tx.conn, row.run_id)
    signers = gate.judge(run_rows.playbook(tx.conn, run.playbook_digest), tx.now).signers
    return signers[0].name if signers else ""


def withdraw(tx: Tx, work_id: str, why: str) -> None:
    """Nobody waits for the approvals of this work any more."""
    for row in tx.conn.execute(
        sa.select(approvals)
        .where(approvals.c.work_id == work_id, approvals.c.status == "open")
        .with_for_update(key_share=True)
    ).all():
        _decide(tx, row, "lapsed", State.LAPSED, why, ENGINE)


def _decide(tx: Tx, row: Any, status: str, to: State, said: str, actor: Actor) -> None:
    tx.conn.execute(approvals.update().where(approvals.c.id == row.id).values(status=status, decided_at=tx.now))
    for action in actions.find(tx.conn, approval_id=row.id, states=(State.WAITING,)):
        actions.move(tx, action, to, actor=actor, summary=said)
    incidents.event(
        tx, row.incident_id, Kind.APPROVAL_DECIDED, actor=actor, data={"approval": row.id, "status": status},
        values={"why": said},
    )  # fmt: skip
    work.disarm(tx, "approval", row.id)
    if row.work_id:
        work.wake(tx, row.work_id)
