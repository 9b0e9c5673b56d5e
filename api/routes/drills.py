"""Drills: is this house ready? Kept as events of the phase preparation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.drill import keeping, lab
from api.views.base import After, Ident, Limit, Page
from api.views.drills import Drill, DrillLine, NewDrill
from soar.model import Actor
from soar.store import drills, runs

router = APIRouter(prefix="/drills", tags=["drills"])
Reader = Annotated[Actor, needs("audit.read")]


@router.post("", status_code=201, summary="Hold a drill")
def start(body: NewDrill, house: TheHouse, actor: Annotated[Actor, needs("drill.start")]) -> Drill:
    """`estate` reads the configured estate and changes nothing. `lab` runs every playbook in a simulated one of its
    own, which takes some seconds for each; 409 while another one is under way here."""
    if body.kind == keeping.LAB:
        with house.store.read() as conn:
            books = runs.current_playbooks(conn)
        report = lab.practise(books, house.stop)
    else:
        report = keeping.look(house)
    kept = keeping.keep(house, actor, body.kind, report)
    return read(kept, house, actor)


@router.get("", summary="List drills")
def list_drills(house: TheHouse, _: Reader, after: After = None, limit: Limit = 50) -> Page[DrillLine]:
    """Newest first."""
    with house.store.read() as conn:
        found = drills.listed(conn, after, limit + 1)
        items = [DrillLine(**keeping.line(conn, each)) for each in found[:limit]]
    return Page(items=items, next=items[-1].id if len(found) > limit else None)


@router.get("/{drill}", summary="Read a drill")
def read(drill: Ident, house: TheHouse, _: Reader) -> Drill:
    """With its findings, and what has changed since the one before."""
    with house.store.read() as conn:
        return Drill.model_validate(keeping.told(conn, drills.get(conn, drill)))
