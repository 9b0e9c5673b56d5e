"""Renewal: a person keeps a containment for longer, and what is stored, armed and set at the target follows.

A hold verb gets a new review date; nothing is sent. A block gets a new lease: the end that the target
was told is written anew by a call, which is an action of its own (`renews` names the first one). A
repair is the same with the time that is left. Under the effect's row lock the generation goes up by
one, so that a timer of before finds nothing to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import effects, releasing
from soar.events import Kind
from soar.model import ENGINE, Actor, Inspection, ScopeStatus
from soar.protocol import UNSENT, UNSETTLED, State
from soar.store import actions, incidents, tasks, work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import actions as action_table
from soar.store.tables import effects as effect_table
from soar.store.tables import holds
from soar.verbs import VERBS, OnExpiry

log = structlog.get_logger("soar.renewal")
STANDS = frozenset({State.ACTIVE, State.OVERDUE, State.DRIFTED})
"""What can be renewed: it stands, and nobody is ending it."""
_ASKED = ("review", "lift_failed")
"""Questions that a renewal answers."""


def current(tx: Tx, timer: Any) -> Any | None:
    """The open hold that a timer is for, its effect locked; None when the timer is of an older generation."""
    hold = tx.conn.execute(sa.select(holds).where(holds.c.id == timer.ref, holds.c.ended_at.is_(None))).first()
    if hold is None:
        return None
    lock(tx, hold.effect_id)
    hold = tx.conn.execute(sa.select(holds).where(holds.c.id == timer.ref, holds.c.ended_at.is_(None))).first()
    return hold if hold is not None and hold.generation == timer.generation else None


def lock(tx: Tx, effect_id: str) -> Any | None:
    """An effect's row, kept to the commit."""
    return tx.conn.execute(
        sa.select(effect_table).where(effect_table.c.id == effect_id).with_for_update(key_share=True)
    ).first()


def under_way(conn: sa.Connection, original: ActionRow, *, sent: bool = False) -> bool:
    """A renewal or repair of this one has not come to its end (`sent`: has left us, and is not settled)."""
    states = UNSETTLED if sent else UNSETTLED | UNSENT
    query = sa.select(action_table.c.id).where(
        action_table.c.renews == original.id, action_table.c.state.in_([state.value for state in states])
    )
    return conn.execute(query.limit(1)).first() is not None


def being_ended(conn: sa.Connection, original: ActionRow) -> bool:
    """A release of this one has not come to its end: it is planned, waits for its approval, or was sent."""
    return bool(releasing.undone_by(conn, original.id, UNSETTLED | UNSENT))


def refusal(tx: Tx, action: ActionRow, seen: Inspection | None) -> str:
    """Why this renewal or repair may not run now; empty when it may.

    One whose earlier call is at the target without anything on the register may: it is entered there.
    """
    original = actions.get(tx.conn, action.renews or "")
    if original.state not in STANDS or effects.hold_of(tx.conn, original) is None:
        arrived = seen is not None and seen.ours == action.id and action.called_at is not None
        if arrived and effects.standing(tx.conn, action) is None:
            return ""
        return f"there is nothing to renew: {original.verb} on {original.target_name} is {original.state.value}"
    return "a release of it is under way" if being_ended(tx.conn, original) else ""


def extend(tx: Tx, original: ActionRow, seconds: float, actor: Actor, why: str) -> None:
    """A new review date for a hold that never ends by itself. Nothing is sent to the target."""
    hold = effects.hold_of(tx.conn, original)
    assert hold is not None
    lock(tx, hold.effect_id)
    _bump(tx, hold.effect_id, repairs=0)
    _begin_anew(tx, original, hold, tx.now + timedelta(seconds=seconds), seconds)
    _renewed(tx, original, hold, actor, why)


def renewed(tx: Tx, action: ActionRow, seen: Inspection | None) -> ActionRow:
    """The call of a renewal or repair is verified: the effect has its handle, the hold its new end.

    Where what it renewed was ended meanwhile, what it did stands by itself: it is never left off the register.
    """
    original = actions.get(tx.conn, action.renews or "")
    hold = effects.hold_of(tx.conn, original)
    if hold is None or original.state not in STANDS:
        return _contained_again(tx, action, original, seen)
    effect = lock(tx, hold.effect_id)
    by_hand = action.caller != str(ENGINE)
    columns: dict[str, Any] = {"verified_at": tx.now, "state": State.ACTIVE.value, "trouble": None, "seen": None}
    if by_hand:
        columns["repairs"] = 0
    if action.called_at and (action.prior.get("present") is False or (seen is not None and seen.ours == action.id)):
        columns |= {"handle": action.handle, "action_id": action.id}
    if action.called_at and action.prior.get("present") is False:
        columns["prior"] = action.prior
    _bump(tx, hold.effect_id, **columns)
    if action.lease_seconds:
        _begin_anew(tx, original, hold, tx.now + timedelta(seconds=action.lease_seconds), action.lease_seconds)
        _latest_end(tx, effect)
    if by_hand:
        _renewed(tx, original, hold, releasing.actor_of(action), action.summary)
    settle(tx, hold.effect_id)
    return actions.move(tx, action, State.DONE, effect_id=hold.effect_id)


def _contained_again(tx: Tx, action: ActionRow, original: ActionRow, seen: Inspection | None) -> ActionRow:
    """Its call was under way while the containment was ended, and contains again: entered anew, and asked about."""
    ended = tx.conn.execute(
        sa.select(holds.c.owner, effect_table.c.prior, effect_table.c.handle)
        .join_from(holds, effect_table, holds.c.effect_id == effect_table.c.id)
        .where(holds.c.action_id == original.id)
        .order_by(holds.c.id.desc())
    ).first()
    assert ended is not None
    said = f"a late {action.step} of what is {original.state.value} has contained it again"
    if action.prior.get("present") is not False:  # through us: what the first call found and left is what counts
        by_this = seen is not None and seen.ours == action.id
        action = actions.note(tx, action, prior=ended.prior, handle=action.handle if by_this else ended.handle)
    action = effects.place(tx, action, ended.owner, said)
    hold = effects.hold_of(tx.conn, action)
    assert hold is not None
    log.error("contained_again", effect=action.effect_id, verb=action.verb, target=str(action.target))
    if VERBS[action.verb].on_expiry is OnExpiry.HOLD:
        incidents.set_scope(tx, action.incident_id, str(action.target), ScopeStatus.CONTAINED, why=action.verb)
    incidents.event(
        tx, action.incident_id, Kind.EFFECT_RETURNED,
        data={"effect": action.effect_id, "hold": hold.id, "action": action.id, "verb": action.verb},
        values={"target": str(action.target), "reason": said},
    )  # fmt: skip
    text = f"{action.verb} on {action.target_name}: {said}. Renew it, release it, or hand it over"
    tasks.open_task(tx, action.incident_id, kind="review", text=text, asks={"decision": "str"}, action_id=action.id)
    return action


def settle(tx: Tx, effect_id: str) -> None:
    """Seen to stand again: whoever holds it and had lost it has it again."""
    for hold in open_holds(tx.conn, effect_id):
        action = actions.get(tx.conn, hold.action_id)
        if action.state is State.DRIFTED:
            action = actions.move(tx, action, State.ACTIVE, summary="seen at the target again")
            if hold.overdue:
                actions.move(tx, action, State.OVERDUE, summary="its time is over")
            tasks.close_all(tx, action.id, ("drift",), ENGINE, {"back": True})


def open_holds(conn: sa.Connection, effect_id: str) -> list[Any]:
    """The holds that keep an effect, oldest first."""
    query = sa.select(holds).where(holds.c.effect_id == effect_id, holds.c.ended_at.is_(None)).order_by(holds.c.id)
    return list(conn.execute(query))


def remaining(hold: Any, now: datetime) -> int:
    """Seconds that are left of a hold's lease; 0 for one without an end. At least one."""
    return max(1, int((hold.expires_at - now).total_seconds())) if hold.expires_at else 0


def _bump(tx: Tx, effect_id: str, **columns: Any) -> None:
    one_more = effect_table.c.generation + 1
    tx.conn.execute(effect_table.update().where(effect_table.c.id == effect_id).values(generation=one_more, **columns))


def _begin_anew(tx: Tx, original: ActionRow, hold: Any, at: datetime, seconds: float) -> None:
    """The hold ends (or is looked at) at another time: timers of before are dropped by their generation."""
    lifts = VERBS[original.verb].on_expiry is OnExpiry.LIFT
    kind, column = ("lease", "expires_at") if lifts else ("review", "review_at")
    generation = hold.generation + 1
    work.disarm(tx, kind, hold.id)
    work.arm(tx, at, kind, hold.id, generation, {"period": seconds})
    values = {column: at, "overdue": False, "generation": generation}
    tx.conn.execute(holds.update().where(holds.c.id == hold.id).values(**values))


def _latest_end(tx: Tx, effect: Any) -> None:
    """The effect stands for as long as the longest of its holds."""
    ends = [hold.expires_at for hold in open_holds(tx.conn, effect.id)]
    latest = None if None in ends else max(ends)
    tx.conn.execute(effect_table.update().where(effect_table.c.id == effect.id).values(expires_at=latest))


def _renewed(tx: Tx, original: ActionRow, hold: Any, actor: Actor, why: str) -> None:
    """What follows for those who look: the state, the event, the questions that are answered by it."""
    original = actions.get(tx.conn, original.id)
    if original.state is State.OVERDUE:
        actions.move(tx, original, State.ACTIVE, actor=actor, summary=f"renewed: {why}")
    incidents.event(
        tx, original.incident_id, Kind.HOLD_RENEWED, actor=actor,
        data={"action": original.id, "verb": original.verb, "effect": hold.effect_id, "hold": hold.id,
              "generation": hold.generation + 1},
        values={"target": str(original.target), "reason": why},
    )  # fmt: skip
    tasks.close_all(tx, original.id, _ASKED, actor, {"decision": "renewed"})
