"""What the end of a time does: a lease lifts, a review asks, a question that nobody answered is asked again.

A block ends by itself unless a kill switch or a change freeze holds it back: then it stands, shown
overdue, and is lifted once it may be. Nothing else is ever lifted by time alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import direct, effects, renewal
from soar.engine.parts import Parts
from soar.errors import Conflict
from soar.events import Kind
from soar.protocol import State
from soar.store import actions, incidents, tasks, work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import holds, switches
from soar.verbs import VERBS

log = structlog.get_logger("soar.expiry")
HELD_RETRY = timedelta(seconds=30)
"""How long until a lift that is held back is looked at again."""


def lease_over(parts: Parts, tx: Tx, timer: Any) -> None:
    """A block's time is over for one hold: it ends by itself, unless something holds lifts back."""
    hold = renewal.current(tx, timer)
    if hold is None:
        return
    action = actions.get(tx.conn, hold.action_id)
    back = held_back(parts, tx, action)
    if back:
        _overdue(tx, action, hold, f"its lease is over; {back} holds the lift back")
        work.arm(tx, tx.now + HELD_RETRY, "lease", hold.id, hold.generation, timer.data)
        return
    try:
        direct.undo(tx, action.id, reason="superseded", why="its lease is over")
    except Conflict:
        log.info("lift_under_way", hold=hold.id)


def held_back(parts: Parts, tx: Tx, action: ActionRow) -> str:
    """What keeps the engine from lifting this now (a kill switch, a change freeze); empty when nothing does."""
    names = {"*", f"adapter:{action.adapter}", f"verb:{action.verb}", f"verb:{VERBS[action.verb].inverse}"}
    on = set(tx.conn.execute(sa.select(switches.c.name)).scalars()) & names
    if on:
        return f"the kill switch {min(on)}"
    frozen = [each.name for each in parts.policy.freezes if each.start <= tx.now < each.end]
    return f"the change freeze {frozen[0]}" if frozen else ""


def review_over(tx: Tx, timer: Any) -> None:
    """A containment's review date passed: it stays; its owner is asked, and after each period the on-call too."""
    hold = renewal.current(tx, timer)
    if hold is None:
        return
    action = actions.get(tx.conn, hold.action_id)
    times = int(timer.data.get("asked", 0))
    period = float(timer.data.get("period") or action.review_seconds or effects.DEFAULT_REVIEW)
    text = f"{action.verb} on {action.target_name} is past its review date: renew it, release it, or hand it over"
    if not times:
        _overdue(tx, action, hold, "its review date has passed; it stays in place")
    else:
        incidents.event(
            tx, action.incident_id, Kind.HOLD_ESCALATED,
            data={"action": action.id, "verb": action.verb, "effect": hold.effect_id, "hold": hold.id,
                  "times": times, "to": "on-call"},
            values={"target": str(action.target), "owner": hold.owner},
        )  # fmt: skip
    if not tasks.find(tx.conn, action_id=action.id, kind="review", status="open"):
        tasks.open_task(tx, action.incident_id, kind="review", text=text, asks={"decision": "str"}, action_id=action.id)
    data = {"period": period, "asked": times + 1}
    work.arm(tx, tx.now + timedelta(seconds=period), "review", hold.id, hold.generation, data)


def task_overdue(tx: Tx, timer: Any) -> None:
    """Nobody answered in time: say so, and go on waiting."""
    task = tasks.get(tx.conn, timer.ref)
    if task.status == "open":
        incidents.event(
            tx, task.incident_id, Kind.TASK_OPENED, data={"task": task.id, "kind": task.kind, "escalated": True},
            values={"text": task.text},
        )  # fmt: skip


def _overdue(tx: Tx, action: ActionRow, hold: Any, said: str) -> None:
    """Show once that the time is over and the effect stands."""
    if hold.overdue:
        return
    tx.conn.execute(holds.update().where(holds.c.id == hold.id).values(overdue=True))
    incidents.event(
        tx, action.incident_id, Kind.HOLD_OVERDUE,
        data={"action": action.id, "verb": action.verb, "effect": hold.effect_id, "hold": hold.id},
        values={"target": str(action.target), "owner": hold.owner, "reason": said},
    )  # fmt: skip
    if action.state is State.ACTIVE:
        actions.move(tx, action, State.OVERDUE, summary=said)
