"""Actions and the register: what is contained, and how it ends."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query

from api.auth import TheHouse, needs
from api.routes import paging, told
from api.views.actions import (
    Action,
    ActionLine,
    Checked,
    CheckNow,
    Dispose,
    Effect,
    Hold,
    Release,
    Renew,
    Renewed,
    Resolve,
    Started,
)
from api.views.base import After, Ident, Limit, OfIncident, Page, mapping, pick
from soar.engine import asking, closing, direct, drift, effects, releasing
from soar.errors import Conflict, Refused
from soar.model import Actor
from soar.protocol import STANDING, State
from soar.store import actions, incidents, people
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import actions as table
from soar.store.tables import effects as effect_table
from soar.store.tables import holds
from soar.verbs import VERBS

router = APIRouter(tags=["actions"])
Reader = Annotated[Actor, needs("action.read")]
Decider = Annotated[Actor, needs("action.resolve")]


@router.get("/actions", summary="List actions")
def list_actions(
    house: TheHouse, _: Reader, incident: OfIncident = None, state: Annotated[State | None, Query()] = None,
    standing: Annotated[bool, Query(description="only what stands at its target because of us")] = False,
    after: After = None, limit: Limit = 100,
) -> Page[ActionLine]:  # fmt: skip
    """Newest first."""
    query = sa.select(table)
    if state:
        query = query.where(table.c.state == state.value)
    if standing:
        query = query.where(table.c.state.in_([each.value for each in STANDING]), table.c.undo_of.is_(None))
    with house.store.read() as conn:
        if incident:
            query = query.where(table.c.incident_id == incidents.get(conn, incident).id)
        rows, following = paging.page(conn, query, table, after, limit)
    return Page(items=[pick(ActionLine, told.action(ActionRow.from_row(row))) for row in rows], next=following)


@router.get("/actions/{action}", summary="Read one action")
def read(action: Ident, house: TheHouse, _: Reader) -> Action:
    """Everything: the state before it, what the guards found, what undoes it, what holds its effect."""
    with house.store.read() as conn:
        return _told(conn, actions.get(conn, action))


@router.post("/actions/{action}/release", status_code=202, summary="Ask for the end of a containment")
def release(action: Ident, body: Release, house: TheHouse, actor: Annotated[Actor, needs("action.release")]) -> Started:
    """Begins a run that waits for a second person. 403 with `missing` while the release gate is closed."""

    def write(tx: Tx) -> str:
        original = actions.get(tx.conn, action)
        if VERBS[original.verb].contains and original.state not in STANDING:
            raise Conflict(f"there is nothing to release: the action is {original.state.value}")
        return direct.undo(tx, action, reason=body.reason, why=body.why, by=actor)

    try:
        return Started(run=house.store.write(write))
    except Refused as error:
        said = "; ".join(error.details.get("missing", [error.message]))
        house.store.write(lambda tx: releasing.report(tx, actions.get(tx.conn, action), said, actor))
        raise


@router.post("/actions/{action}/renew", summary="Keep a containment for longer")
def renew(action: Ident, body: Renew, house: TheHouse, actor: Annotated[Actor, needs("action.renew")]) -> Renewed:
    """A hold gets a new review date. A block gets a new lease: a run writes it at the target, under the guards."""

    def write(tx: Tx) -> Renewed:
        run = direct.renew(tx, action, seconds=body.seconds, why=body.why, by=actor)
        return Renewed(run=run, action=_told(tx.conn, actions.get(tx.conn, action)))

    return house.store.write(write)


@router.post("/actions/{action}/resolve", summary="Decide what became of an action in doubt")
def resolve(action: Ident, body: Resolve, house: TheHouse, actor: Decider) -> Action:
    """It happened (yes), it did not (no), or do it again (repeat)."""

    def write(tx: Tx) -> Action:
        asking.resolve(tx, action, actor, body.happened, body.reason)
        return _told(tx.conn, actions.get(tx.conn, action))

    return house.store.write(write)


@router.get("/register", summary="Read the register of containments")
def register(
    house: TheHouse, _: Reader, incident: OfIncident = None,
    standing: Annotated[bool, Query(description="leave out what has ended")] = True,
    after: After = None, limit: Limit = 100,
) -> Page[Effect]:  # fmt: skip
    """What is contained now, since when, by whom, until when, and when it was last seen to be true."""
    with house.store.read() as conn:
        own = incidents.get(conn, incident).id if incident else None
        found = effects.register(conn, incident_id=own, standing_only=standing)
        found = [each for each in reversed(found) if after is None or each["id"] < after]
        following = found[limit - 1]["id"] if len(found) > limit else None
        return Page(items=[_effect(conn, each) for each in found[:limit]], next=following)


@router.post("/register/check", status_code=202, summary="Ask the targets whether the register is true")
def check(body: CheckNow, house: TheHouse, _: Decider) -> Checked:
    """Every standing effect, or one. The answers show in the register: `verified_at`, `drifted`, `trouble`."""
    return Checked(asked=house.store.write(lambda tx: drift.ask_now(tx, body.effect)))


@router.post("/effects/{effect}/disposition", summary="Decide what becomes of a containment")
def dispose(effect: Ident, body: Dispose, house: TheHouse, actor: Annotated[Actor, needs("disposition.set")]) -> Effect:
    """What a closed incident leaves standing is kept to its date, handed over, or gone with its target."""

    def write(tx: Tx) -> Effect:
        closing.dispose(tx, effect, body.disposition, body.why, actor)
        row = tx.conn.execute(sa.select(effect_table).where(effect_table.c.id == effect)).one()
        return _effect(tx.conn, {**mapping(row), "holds": _holds(tx.conn, effect)})

    return house.store.write(write)


def _told(conn: sa.Connection, action: ActionRow) -> Action:
    undone_by = conn.execute(sa.select(table.c.id).where(table.c.undo_of == action.id).order_by(table.c.id)).scalars()
    return pick(
        Action, told.action(action), undo=VERBS[action.verb].inverse, undone_by=list(undone_by),
        holds=[_hold(conn, each) for each in (_holds(conn, action.effect_id) if action.effect_id else [])],
    )  # fmt: skip


def _holds(conn: sa.Connection, effect_id: str) -> list[dict[str, Any]]:
    rows = conn.execute(sa.select(holds).where(holds.c.effect_id == effect_id).order_by(holds.c.id))
    return [mapping(row) for row in rows]


def _effect(conn: sa.Connection, entry: dict[str, Any]) -> Effect:
    action = actions.get(conn, entry["action_id"])
    own = [hold["action_id"] for hold in entry["holds"] if hold["ended_at"] is None]
    held = [actions.get(conn, each) for each in own] or [action]
    open_to = dict.fromkeys(word for row in held for word in asking.choices(row.state))
    overdue = any(hold["overdue"] and hold["ended_at"] is None for hold in entry["holds"])
    state = "overdue" if overdue and entry["state"] == State.ACTIVE.value else entry["state"]
    troubled = entry.get("trouble") is not None
    known = {
        "generation": action.generation, "checked_at": None, "trouble": None, "seen": None, "repairs": 0, **entry,
        "state": state, "unverified_since": entry["verified_at"] if troubled else None,
        "summary": entry.get("trouble") or held[0].summary, "answers": list(open_to),
    }  # fmt: skip
    return pick(Effect, known, holds=[_hold(conn, hold) for hold in entry["holds"]])


def _hold(conn: sa.Connection, hold: dict[str, Any]) -> Hold:
    """With its owner's name: who holds it is what the register is asked for."""
    return pick(Hold, {**hold, "owner": people.named(conn, hold["owner"])})
