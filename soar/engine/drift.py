"""Drift: is what the register says still true at its target? Asked at intervals, and on demand.

Each standing effect has a recurring timer (`due`, kind `drift`). Asking is slow and fails, so it is
done by a thread of its own, outside any transaction; what was seen is written under the effect's
row lock, and only if nothing was done to the effect meanwhile. What is gone raises an alarm and asks;
it is brought back without asking only where the policy says so, at most three times in one lease.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import direct, effects, renewal
from soar.engine.contact import inspect
from soar.engine.parts import Parts
from soar.errors import AdapterError, NotFound, SoarError
from soar.events import Kind
from soar.model import Inspection
from soar.protocol import State
from soar.store import actions, incidents, tasks, timers, work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import due
from soar.store.tables import effects as table

log = structlog.get_logger("soar.drift")
REPAIRS = 3
"""How often one lease's effect is brought back without a person."""
ENDS_SOON = timedelta(seconds=10)
"""So close to its end, a block's absence is its end and no drift."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a target told: the inspection, or why there is none."""

    seen: Inspection | None
    trouble: str = ""


def watch_register(parts: Parts, stop: threading.Event) -> None:
    """Check what is due until told to stop; a thread of its own, so that a slow answer delays no timer.

    First, once, what stands without a timer (it began before there were any) gets one.
    """
    complete = False
    while not stop.wait(1.0):
        try:
            if not complete:
                parts.store.write(arm_missing)
                complete = True
            check_due(parts, stop)
        except (SoarError, sa.exc.SQLAlchemyError) as error:
            log.warning("register_not_checked", reason=str(error).partition("\n")[0])


def arm_missing(tx: Tx) -> int:
    """Give every standing effect without a timer one; returns how many there were."""
    timed = sa.exists().where(due.c.kind == "drift", due.c.ref == table.c.id)
    query = sa.select(table.c.id).where(table.c.ended_at.is_(None), ~timed)
    found = list(tx.conn.execute(query.with_for_update(skip_locked=True, key_share=True)).scalars())
    for effect_id in found:
        work.arm(tx, tx.now + effects.FIRST_LOOK, "drift", effect_id)
    return len(found)


def check_due(parts: Parts, stop: threading.Event | None = None) -> int:
    """Ask about every effect whose time has come; returns how many were asked about."""
    every = timedelta(seconds=parts.drift_seconds)
    checked = 0
    while stop is None or not stop.is_set():
        with parts.store.read() as conn:
            waiting = due.c.kind == "drift", due.c.state == "armed", due.c.at <= parts.clock.now()
            if conn.execute(sa.select(due.c.id).where(*waiting).limit(1)).first() is None:
                break
        effect_id = parts.store.write(lambda tx: timers.recur(tx, "drift", every))
        if effect_id is None:
            break
        checked += check(parts, effect_id)
    return checked


def check(parts: Parts, effect_id: str) -> bool:
    """Ask the target of one effect, and write down what is so; False when it has ended."""
    with parts.store.read() as conn:
        effect = conn.execute(sa.select(table).where(table.c.id == effect_id)).first()
        action = actions.get(conn, effect.action_id) if effect is not None and effect.ended_at is None else None
    if action is None:
        parts.store.write(lambda tx: tx.conn.execute(due.delete().where(due.c.kind == "drift", due.c.ref == effect_id)))
        return False
    look = _look(parts, action)
    parts.store.write(partial(_found, parts, effect, look))
    return True


def ask_now(tx: Tx, effect_id: str | None = None) -> int:
    """Have one standing effect, or all of them, checked at once; returns how many. Raises NotFound."""
    query = sa.select(table.c.id).where(table.c.ended_at.is_(None))
    if effect_id is not None:
        query = query.where(table.c.id == effect_id)
    found = list(tx.conn.execute(query).scalars())
    if effect_id is not None and not found:
        raise NotFound(f"no standing effect {effect_id!r}")
    return sum(timers.bring_forward(tx, "drift", each) for each in found)


def _look(parts: Parts, action: ActionRow) -> Look:
    try:
        seen = inspect(parts, action)
    except (AdapterError, NotFound) as error:
        return Look(None, f"cannot be asked: {error.message}")
    if seen is None or seen.present is None:
        return Look(None, "the target cannot tell")
    return Look(seen)


def _found(parts: Parts, asked: Any, look: Look, tx: Tx) -> None:
    """Write down what was seen, unless the effect was renewed or ended while the target was asked."""
    effect = renewal.lock(tx, asked.id)
    if effect is None or effect.ended_at is not None or effect.generation != asked.generation:
        return
    held = [(hold, actions.get(tx.conn, hold.action_id)) for hold in renewal.open_holds(tx.conn, effect.id)]
    if any(row.state not in renewal.STANDS or renewal.under_way(tx.conn, row, sent=True) for _, row in held):
        return
    columns: dict[str, Any] = {"checked_at": tx.now, "trouble": look.trouble or None}
    if look.seen is None:
        _note(tx, effect, **columns)
    elif look.seen.present:
        _note(tx, effect, **columns, verified_at=tx.now, state=State.ACTIVE.value, seen=dict(look.seen.state))
        if effect.state == State.DRIFTED.value:
            _back(tx, effect, held)
    elif effect.expires_at is None or effect.expires_at > tx.now + ENDS_SOON:
        _note(tx, effect, **columns, state=State.DRIFTED.value, seen=dict(look.seen.state))
        if effect.state != State.DRIFTED.value:
            _gone(tx, effect, held, look.seen)
        _mend(parts, tx, effect, held)


def _note(tx: Tx, effect: Any, **columns: Any) -> None:
    tx.conn.execute(table.update().where(table.c.id == effect.id).values(**columns))


def _gone(tx: Tx, effect: Any, held: list[tuple[Any, ActionRow]], seen: Inspection) -> None:
    """Somebody ended it at the target: every holder is told, and asked."""
    log.error("register_drifted", effect=effect.id, verb=effect.verb, target=effect.target)
    for hold, action in held:
        said = f"gone from its target: {seen.summary}"
        if action.state is not State.DRIFTED:
            actions.move(tx, action, State.DRIFTED, summary=said)
        _event(tx, Kind.EFFECT_DRIFTED, effect, hold, action, {"state": dict(seen.state), "reason": said})
        text = (
            f"{action.verb} on {action.target_name} is {said}. Nobody ended it here: contain it again, release it,"
            " or hand it over"
        )
        tasks.open_task(tx, action.incident_id, kind="drift", text=text, asks={"decision": "str"}, action_id=action.id)


def _back(tx: Tx, effect: Any, held: list[tuple[Any, ActionRow]]) -> None:
    renewal.settle(tx, effect.id)
    for hold, action in held:
        _event(tx, Kind.EFFECT_RETURNED, effect, hold, action, {})


def _mend(parts: Parts, tx: Tx, effect: Any, held: list[tuple[Any, ActionRow]]) -> None:
    """Bring it back where the policy lets the engine do so, under the guards; never against a release of it."""
    if effect.verb not in parts.policy.repair or effect.repairs >= REPAIRS or not held:
        return
    if any(renewal.under_way(tx.conn, row) or renewal.being_ended(tx.conn, row) for _, row in held):
        return
    hold, action = held[-1]
    _note(tx, effect, repairs=effect.repairs + 1)
    direct.repair(tx, actions.get(tx.conn, action.id), hold)


def _event(tx: Tx, kind: Kind, effect: Any, hold: Any, action: ActionRow, values: dict[str, Any]) -> None:
    incidents.event(
        tx, action.incident_id, kind,
        data={"effect": effect.id, "hold": hold.id, "action": action.id, "verb": effect.verb},
        values={"target": effect.target, **values},
    )  # fmt: skip
