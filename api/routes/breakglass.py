"""Break-glass: two persons, one of them the commander, let soft guards yield for an hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.routes import paging
from api.views.base import After, Ident, Limit, OfIncident, Page, mapping, pick
from api.views.breakglass import AskBreakGlass, Because, BreakGlass
from api.wiring import House
from soar.engine import breakglass
from soar.model import Actor
from soar.store import incidents, people
from soar.store.session import Tx
from soar.store.tables import break_glass as table

router = APIRouter(prefix="/break-glass", tags=["approvals"])
Reader = Annotated[Actor, needs("approval.read")]
Voice = Annotated[Actor, needs("approval.vote")]


@router.get("", summary="List break-glass requests")
def list_all(
    house: TheHouse, _: Reader, incident: OfIncident = None, after: After = None, limit: Limit = 100
) -> Page[BreakGlass]:
    """Newest first: what is asked for, what is open, and what has been."""
    query = sa.select(table)
    with house.store.read() as conn:
        if incident:
            query = query.where(table.c.incident_id == incidents.get(conn, incident).id)
        rows, following = paging.page(conn, query, table, after, limit)
        return Page(items=[_told(conn, row) for row in rows], next=following)


@router.post("", status_code=201, summary="Ask for break-glass")
def ask(body: AskBreakGlass, house: TheHouse, actor: Voice) -> BreakGlass:
    """Nothing yields yet: a second person must approve within a quarter of an hour."""

    def write(tx: Tx) -> BreakGlass:
        return _told(tx.conn, breakglass.get(tx.conn, breakglass.ask(tx, body.incident, actor, body.reason)))

    return house.store.write(write)


@router.get("/{glass}", summary="Read one break-glass")
def read(glass: Ident, house: TheHouse, _: Reader) -> BreakGlass:
    """Who asked, who approved, until when."""
    with house.store.read() as conn:
        return _told(conn, breakglass.get(conn, glass))


@router.post("/{glass}/approve", summary="Approve break-glass")
def approve(glass: Ident, body: Because, house: TheHouse, actor: Voice) -> BreakGlass:
    """Open for 60 minutes. 403 with the reason unless the two are apart and one of them is a commander."""
    return _do(house, glass, lambda tx: breakglass.approve(tx, glass, actor, body.reason))


@router.post("/{glass}/deny", summary="Deny break-glass")
def deny(glass: Ident, body: Because, house: TheHouse, actor: Voice) -> BreakGlass:
    """The request is over."""
    return _do(house, glass, lambda tx: breakglass.deny(tx, glass, actor, body.reason))


@router.post("/{glass}/end", summary="End break-glass")
def end(glass: Ident, body: Because, house: TheHouse, actor: Voice) -> BreakGlass:
    """Soft guards refuse again from now on; a task asks for a review of what was done."""
    return _do(house, glass, lambda tx: breakglass.end(tx, glass, actor, body.reason))


def _do(house: House, glass: str, act: Callable[[Tx], None]) -> BreakGlass:
    def write(tx: Tx) -> BreakGlass:
        act(tx)
        return _told(tx.conn, breakglass.get(tx.conn, glass))

    return house.store.write(write)


def _told(conn: sa.Connection, row: Any) -> BreakGlass:
    """A row with persons by their names."""
    return pick(
        BreakGlass, mapping(row), asked_by=people.named(conn, row.asker["id"]),
        approved_by=people.named(conn, row.approver["id"]) if row.approver else "",
        ended_by=people.named(conn, row.ended_by),
    )  # fmt: skip
