"""The register: effects that stand at targets because of us, and the holds that keep them there.

An effect is (adapter, verb, target, parameters). It has one hold for each reason to keep it: an
incident, with an owner and a review date. Undo drops a hold; the target is touched only when the
last one goes. Timers: a lease's end lifts (verbs with `on_expiry` lift), a review's end makes a
hold overdue and asks, but never lifts.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from soar import canonical
from soar.errors import NotFound
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE, Actor, JsonObject
from soar.protocol import ON_REGISTER, STANDING, UNSETTLED, State
from soar.release import Disposition
from soar.store import actions, locks, streams, tasks, work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.statement import Statement, literally
from soar.store.tables import actions as action_table
from soar.store.tables import effects, holds
from soar.verbs import VERBS, OnExpiry

DEFAULT_REVIEW = 24 * 3600
ASKED = ("review", "drift", "lift_failed")
"""Questions about what stands: over when it does no more."""
FIRST_LOOK = timedelta(seconds=60)
"""How long after an effect began its target is first asked whether it still stands."""
_NOT_OURS = {
    Disposition.HANDED_OVER.value: State.HANDED_OVER,
    Disposition.DESTROYED.value: State.TARGET_GONE,
    Disposition.TARGET_GONE.value: State.TARGET_GONE,
}


class Sent(Protocol):
    """An action, or the part of its row that says what it was sent with."""

    @property
    def params(self) -> JsonObject: ...


def params_digest(action: Sent) -> str:
    """What makes two effects on one target the same: their parameters, the time they last aside."""
    lasting = {name: value for name, value in action.params.items() if name != "duration"}
    return hashlib.sha256(canonical.dumps(lasting)).hexdigest()


def lock(tx: Tx, action: ActionRow) -> None:
    """Keep everybody else from beginning or ending the effect that this action is about, until the commit.

    To be called before it is read what stands; on SQLite there is one writer at a time anyway.
    """
    if not tx.postgres:
        return
    about = actions.get(tx.peek, action.undo_of) if action.undo_of else action
    if action.undo_of or VERBS[action.verb].contains:
        locks.hold(tx, [f"effect {about.adapter} {about.verb} {about.target} {params_digest(about)}"])


def standing(conn: sa.Connection, action: ActionRow) -> Any | None:
    """The effect that this action would bring about, if it stands already because of us."""
    return _STANDS.run(conn, {**_named(action), "digest": params_digest(action)}).first()


def _named(action: ActionRow) -> dict[str, str]:
    return {"by": action.adapter, "does": action.verb, "to": str(action.target)}


_STANDS = Statement(
    sa.select(effects).where(
        effects.c.adapter == sa.bindparam("by"),
        effects.c.verb == sa.bindparam("does"),
        effects.c.target == sa.bindparam("to"),
        effects.c.params_digest == sa.bindparam("digest"),
        effects.c.ended_at.is_(None),
    )
)


def place(tx: Tx, action: ActionRow, owner: str, reason: str) -> ActionRow:
    """A verified containment stands: enter it (or find it) in the register and put a hold on it."""
    lock(tx, action)
    effect = standing(tx.conn, action)
    verb = VERBS[action.verb]
    expires = tx.now + timedelta(seconds=action.lease_seconds) if action.lease_seconds else None
    if effect is None:
        effect_id = new_id()
        row = {
            **_NEW_EFFECT, "id": effect_id, "adapter": action.adapter, "verb": action.verb,
            "target": str(action.target), "params_digest": params_digest(action), "state": State.ACTIVE.value,
            "since": tx.now, "verified_at": tx.now, "expires_at": expires, "action_id": action.id,
            "handle": action.handle, "prior": action.prior, "generation": 1,
        }  # fmt: skip
        tx.run(_PLACE, row)
        work.arm(tx, tx.now + FIRST_LOOK, "drift", effect_id)
    else:
        effect_id = effect.id
        _join(tx, effect, action, expires)
    hold_id = new_id()
    if expires and verb.on_expiry is OnExpiry.LIFT:
        work.arm(tx, expires, "lease", hold_id, 1)
    review_at = None
    if verb.on_expiry is OnExpiry.HOLD:
        review_at = tx.now + timedelta(seconds=action.review_seconds or DEFAULT_REVIEW)
        work.arm(tx, review_at, "review", hold_id, 1)
    hold = {
        "id": hold_id, "effect_id": effect_id, "incident_id": action.incident_id, "action_id": action.id,
        "owner": owner, "reason": reason, "review_at": review_at, "expires_at": expires, "placed_at": tx.now,
        "ended_at": None, "end_reason": None, "overdue": False, "generation": 1,
    }  # fmt: skip
    tx.run(_HOLD, hold)
    _event(tx, action, Kind.HOLD_PLACED, effect_id, hold_id, {"owner": owner, "reason": reason})
    return actions.move(tx, action, State.ACTIVE, effect_id=effect_id)


_NEW_EFFECT: dict[str, Any] = {
    **dict.fromkeys(("ended_at", "disposition", "checked_at", "trouble")), "disposition_why": "", "repairs": 0,
}  # fmt: skip
_PLACE, _HOLD = Statement(effects.insert().values(seen=sa.null())), Statement(holds.insert())


def _join(tx: Tx, effect: Any, action: ActionRow, expires: datetime | None) -> None:
    """One more hold on what stands. Where it was found gone and made anew, the new call's handle is the one."""
    columns: dict[str, Any] = {"verified_at": tx.now}
    if action.called_at and action.prior.get("present") is False:
        columns |= {"handle": action.handle, "prior": action.prior, "action_id": action.id}
    latest = None if expires is None or effect.expires_at is None else max(expires, effect.expires_at)
    tx.conn.execute(effects.update().where(effects.c.id == effect.id).values(**columns, expires_at=latest))


def hold_of(conn: sa.Connection, action: ActionRow) -> Any | None:
    """The open hold that an action placed."""
    return conn.execute(sa.select(holds).where(holds.c.action_id == action.id, holds.c.ended_at.is_(None))).first()


def outlasts(effect: Any, action: ActionRow, now: datetime) -> bool:
    """The action wants the effect to stand for longer than the target was told."""
    if effect.expires_at is None:
        return False
    return not action.lease_seconds or now + timedelta(seconds=action.lease_seconds) > effect.expires_at


def in_the_way(conn: sa.Connection, action: ActionRow, effect: Any | None) -> str:
    """Why this action must wait: another one is about to bring the same effect about, or to end it.

    `effect`: what stands already.
    """
    for other in _UNSETTLED_CALLS.run(conn, {**_named(action), "but": action.id}).all():
        if params_digest(other) == params_digest(action):
            return f"another call of the same is not settled yet (action {other.id})"
    ending = (State.REVERTING, State.REVERT_FAILED)
    if effect is not None and any(
        row.effect_id == effect.id for row in actions.find(conn, target=effect.target, states=ending)
    ):
        return "what stands there is just being ended"
    return ""


_UNSETTLED_CALLS = Statement(
    sa.select(action_table.c.id, action_table.c.params)
    .where(
        action_table.c.adapter == sa.bindparam("by"),
        action_table.c.verb == sa.bindparam("does"),
        action_table.c.target == sa.bindparam("to"),
        action_table.c.id != sa.bindparam("but"),
        action_table.c.state.in_(literally(UNSETTLED)),
    )
    .order_by(action_table.c.id)
)
"""What was sent through this adapter to bring the same about, and may still do so."""


def unsettled(conn: sa.Connection, incident_id: str | None) -> list[ActionRow]:
    """Containments that are on the register without an effect: sent, in doubt, or not effective."""
    found = actions.find(conn, incident_id=incident_id, states=ON_REGISTER - STANDING)
    return [row for row in found if VERBS[row.verb].contains and not row.undo_of]


def others_holding(conn: sa.Connection, action: ActionRow) -> int:
    """How many open holds keep this action's effect besides its own."""
    query = sa.select(sa.func.count()).where(
        holds.c.effect_id == action.effect_id, holds.c.action_id != action.id, holds.c.ended_at.is_(None)
    )
    return int(conn.execute(query).scalar_one())


def drop(tx: Tx, action: ActionRow, reason: str, actor: Actor = ENGINE, to: State = State.REVERTED) -> ActionRow:
    """End this action's hold, and the effect with its last one. The action becomes reverted, or lifted by time."""
    tx.conn.execute(
        holds.update()
        .where(holds.c.action_id == action.id, holds.c.ended_at.is_(None))
        .values(ended_at=tx.now, end_reason=reason)
    )
    open_holds = tx.conn.execute(
        sa.select(sa.func.count()).where(holds.c.effect_id == action.effect_id, holds.c.ended_at.is_(None))
    ).scalar_one()
    if not open_holds:
        tx.conn.execute(effects.update().where(effects.c.id == action.effect_id).values(state="ended", ended_at=tx.now))
    _event(
        tx, action, Kind.HOLD_ENDED, action.effect_id or "", "", {"reason": reason, "others": int(open_holds)}, actor
    )
    tasks.close_all(tx, action.id, ASKED, actor, {"decision": to.value})
    said = f"{reason}; {open_holds} other hold(s) keep it in place" if open_holds else reason
    return actions.move(tx, action, to, actor=actor, summary=said)


def dispose(tx: Tx, effect_id: str, disposition: str, why: str, actor: Actor) -> None:
    """Write down how a containment ends: released, kept_to_date, handed_over, destroyed, target_gone.

    What is handed over or gone is ours no more: its holds end, and its actions say so.
    """
    effect = tx.conn.execute(sa.select(effects).where(effects.c.id == effect_id)).first()
    if effect is None:
        raise NotFound(f"no effect {effect_id!r}")
    tx.conn.execute(
        effects.update().where(effects.c.id == effect_id).values(disposition=disposition, disposition_why=why)
    )
    ended = _NOT_OURS.get(disposition)
    if ended is not None and effect.ended_at is None:
        _end_all(tx, effect_id, ended, why, actor)
    action = actions.get(tx.conn, effect.action_id)
    streams.append(
        tx, streams.incident_stream(action.incident_id), Kind.DISPOSITION_SET, actor=actor,
        data={"effect": effect_id, "verb": effect.verb, "disposition": disposition},
        values={"target": effect.target, "why": why},
    )  # fmt: skip


def _end_all(tx: Tx, effect_id: str, ended: State, why: str, actor: Actor) -> None:
    """End every hold on an effect that is ours no more; at the target nothing is touched."""
    mine = sa.select(holds).where(holds.c.effect_id == effect_id, holds.c.ended_at.is_(None))
    for hold in tx.conn.execute(mine).all():
        tx.conn.execute(holds.update().where(holds.c.id == hold.id).values(ended_at=tx.now, end_reason=ended.value))
        action = actions.get(tx.conn, hold.action_id)
        _event(tx, action, Kind.HOLD_ENDED, effect_id, hold.id, {"reason": why}, actor)
        tasks.close_all(tx, action.id, ASKED, actor, {"decision": ended.value})
        actions.move(tx, action, ended, actor=actor, summary=why)
    tx.conn.execute(effects.update().where(effects.c.id == effect_id).values(state="ended", ended_at=tx.now))


def register(
    conn: sa.Connection, *, incident_id: str | None = None, standing_only: bool = True
) -> list[dict[str, Any]]:
    """What is contained: each effect with its holds, since when, until when, and when last seen true."""
    query = sa.select(effects).order_by(effects.c.id)
    if standing_only:
        query = query.where(effects.c.ended_at.is_(None))
    if incident_id is not None:
        query = query.where(effects.c.id.in_(sa.select(holds.c.effect_id).where(holds.c.incident_id == incident_id)))
    found = []
    for effect in conn.execute(query).all():
        own = conn.execute(sa.select(holds).where(holds.c.effect_id == effect.id).order_by(holds.c.id)).all()
        entry = dict(effect._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
        entry["holds"] = [dict(hold._mapping) for hold in own]  # noqa: SLF001
        found.append(entry)
    return found + [_without_effect(row) for row in unsettled(conn, incident_id)]


def _without_effect(row: ActionRow) -> dict[str, Any]:
    """An unsettled action as an entry of the register; its id is the action's."""
    return {
        "id": row.id, "adapter": row.adapter, "verb": row.verb, "target": str(row.target), "state": row.state.value,
        "since": row.called_at or row.created_at, "verified_at": row.verified_at, "expires_at": None, "ended_at": None,
        "disposition": None, "disposition_why": "", "action_id": row.id, "holds": [],
    }  # fmt: skip


def _event(
    tx: Tx, action: ActionRow, kind: Kind, effect_id: str, hold_id: str, values: dict[str, Any], actor: Actor = ENGINE
) -> None:
    streams.append(
        tx, streams.incident_stream(action.incident_id), kind, actor=actor,
        data={"action": action.id, "verb": action.verb, "effect": effect_id, "hold": hold_id},
        values={"target": str(action.target), **values},
    )  # fmt: skip
