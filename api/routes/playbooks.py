"""Playbooks: what can be run."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.views.base import Ident, Page, mapping, pick
from api.views.house import PlaybookLine, PlaybookView
from api.wiring import House
from soar.errors import NotFound
from soar.model import Actor
from soar.store import runs
from soar.store.tables import playbooks as table

router = APIRouter(prefix="/playbooks", tags=["playbooks"])
Reader = Annotated[Actor, needs("playbook.read")]


def judged(house: House, conn: sa.Connection, row: Any) -> dict[str, Any]:
    """A playbook's row, and whether new runs of it may begin."""
    verdict = house.parts.gate.judge(runs.playbook(conn, row.digest), house.store.clock.now())
    return {
        **mapping(row),
        "may_run": verdict.runs,
        "reasons": [reason.message for reason in verdict.reasons],
        "signers": [signer.name for signer in verdict.signers],
    }


@router.get("", summary="List playbooks")
def list_playbooks(house: TheHouse, _: Reader) -> Page[PlaybookLine]:
    """Each in its newest version, by name."""
    with house.store.read() as conn:
        rows = conn.execute(sa.select(table).where(table.c.current).order_by(table.c.slug)).all()
        return Page(items=[pick(PlaybookLine, judged(house, conn, row)) for row in rows], next=None)


@router.get("/{slug}", summary="Read one playbook")
def read(slug: Ident, house: TheHouse, _: Reader) -> PlaybookView:
    """By its short name, or by a digest that a run began with; as a CACAO 2.0 document."""
    wanted = sa.or_(sa.and_(table.c.slug == slug, table.c.current), table.c.digest == slug)
    with house.store.read() as conn:
        row = conn.execute(sa.select(table).where(wanted)).first()
        if row is None:
            raise NotFound(f"no playbook {slug!r}")
        return pick(PlaybookView, judged(house, conn, row))
