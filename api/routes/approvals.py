"""Approvals: what is asked, and the votes of persons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query

from api.auth import TheHouse, needs
from api.routes import paging
from api.views.actions import Approval, ApprovalAction, ApprovalLine, CastVote, VoteRow
from api.views.base import After, Ident, Limit, OfIncident, Page, mapping, pick
from soar.engine import approving
from soar.errors import Refused
from soar.events import Kind
from soar.model import Actor
from soar.store import actions, incidents, people
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import approvals as table
from soar.store.tables import votes
from soar.verbs import VERBS

router = APIRouter(prefix="/approvals", tags=["approvals"])
Reader = Annotated[Actor, needs("approval.read")]
Status = Literal["open", "approved", "denied", "lapsed", "unopposed"]


@router.get("", summary="List approvals")
def list_approvals(
    house: TheHouse, _: Reader, status: Annotated[Status | None, Query()] = None, incident: OfIncident = None,
    after: After = None, limit: Limit = 100,
) -> Page[ApprovalLine]:  # fmt: skip
    """Newest first."""
    query = sa.select(table)
    if status:
        query = query.where(table.c.status == status)
    with house.store.read() as conn:
        if incident:
            query = query.where(table.c.incident_id == incidents.get(conn, incident).id)
        rows, following = paging.page(conn, query, table, after, limit)
        return Page(items=[pick(ApprovalLine, mapping(row), **_said(conn, row)) for row in rows], next=following)


@router.get("/{approval}", summary="Read one approval")
def read(approval: Ident, house: TheHouse, _: Reader) -> Approval:
    """What would be done to which targets, who has voted, and whose vote does not count and why."""
    with house.store.read() as conn:
        return _told(conn, approval, house.store.clock.now())


@router.post("/{approval}/votes", summary="Vote on an approval")
def vote(approval: Ident, body: CastVote, house: TheHouse, actor: Annotated[Actor, needs("approval.vote")]) -> Approval:
    """`digest` is that of the approval as it was read. 403 with the reason when this person's vote cannot count."""

    def write(tx: Tx) -> Approval:
        approving.vote(tx, approval, actor, body.decision, body.reason, body.digest)
        return _told(tx.conn, approval, tx.now)

    try:
        return house.store.write(write)
    except Refused as error:
        said = error.message
        house.store.write(lambda tx: _not_counted(tx, approval, actor, body, said))
        raise


def _not_counted(tx: Tx, approval: str, actor: Actor, body: CastVote, said: str) -> None:
    """The vote itself is gone with its transaction; that it was tried is remembered."""
    row = approving.get(tx.conn, approval)
    incidents.event(
        tx, row.incident_id, Kind.APPROVAL_VOTED, actor=actor,
        data={"approval": row.id, "decision": body.decision, "counted": False},
        values={"reason": body.reason, "why": said},
    )  # fmt: skip


def _said(conn: sa.Connection, row: Any) -> dict[str, Any]:
    return {"required": row.persons, "asked_by": people.named(conn, row.asked_by)}


def _told(conn: sa.Connection, approval: str, now: Any) -> Approval:
    row = approving.get(conn, approval)
    ignored = dict(approving.count(conn, row, now).ignored)
    cast = conn.execute(sa.select(votes).where(votes.c.approval_id == row.id).order_by(votes.c.id))
    return pick(
        Approval, mapping(row), **_said(conn, row),
        actions=[_action(each) for each in actions.find(conn, approval_id=row.id)],
        votes=[
            VoteRow(
                person=each.person_id, name=people.named(conn, each.person_id), decision=each.decision,
                reason=each.reason, at=each.at, counts=each.person_id not in ignored,
                why_not=ignored.get(each.person_id, ""),
            )
            for each in cast
        ],
    )  # fmt: skip


def _action(action: ActionRow) -> ApprovalAction:
    return pick(ApprovalAction, action.as_plain(), now=action.summary, undo=VERBS[action.verb].inverse)
