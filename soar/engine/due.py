"""The poller: takes each timer whose time has come, once, and does what it is there for.

A timer is a row. Taking it and doing it are one commit, so two pollers never both act; a timer of
an older generation finds nothing to do. A jump of the wall clock fires nothing early and is noted.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import approving, direct, effects, runner
from soar.engine.parts import Parts
from soar.errors import SoarError
from soar.events import Kind
from soar.store import incidents, streams, tasks, work
from soar.store.session import Tx
from soar.store.tables import holds, switches

log = structlog.get_logger("soar.due")
FROZEN_RETRY = 30.0
"""Seconds until a lift that a kill switch holds back is looked at again."""


def fire_due(parts: Parts) -> int:
    """Fire everything that is due now; returns how many timers fired."""
    fired = 0
    while parts.store.write(_fire_one):
        fired += 1
    return fired


def note_clock(parts: Parts) -> None:
    """Write down a jump of the wall clock, if there was one."""
    step = parts.clock.step()
    if step is not None:
        data = {"milliseconds": round(step.seconds * 1000)}
        parts.store.write(lambda tx: streams.append(tx, streams.SYSTEM, Kind.SYSTEM_CLOCK_STEPPED, data=data))


def poll(parts: Parts, stop: threading.Event, bell: threading.Event) -> None:
    """Fire timers until told to stop; sleeps until the next one, or until the bell rings."""
    while not stop.is_set():
        try:
            note_clock(parts)
            fire_due(parts)
            with parts.store.read() as conn:
                at = work.next_due(conn)
        except SoarError as error:
            log.warning("timers_cannot_fire", reason=error.message)
            at = None
        wait = 1.0 if at is None else (at - parts.clock.now()).total_seconds()
        bell.wait(min(max(wait, 0.005), 1.0))
        bell.clear()


def _fire_one(tx: Tx) -> bool:
    timer = work.take_due(tx)
    if timer is None:
        return False
    match timer.kind:
        case "wake":
            work.wake(tx, timer.ref)
        case "step_delay" | "step_timeout" | "step_retry":
            run_id, _, occurrence = timer.ref.partition("|")
            runner.fire(tx, run_id, occurrence, timer.generation, timer.kind.removeprefix("step_"))
        case "approval":
            approving.time_out(tx, timer.ref, timer.data)
        case "task":
            _task_overdue(tx, timer)
        case "lease":
            _lease_over(tx, timer)
        case "review":
            _review_over(tx, timer)
        case _:
            log.error("unknown_timer", kind=timer.kind, ref=timer.ref)
    return True


def _lease_over(tx: Tx, timer: Any) -> None:
    """A block's time is over: it ends by itself, unless a kill switch holds lifts back."""
    if tx.conn.execute(sa.select(switches.c.name)).first() is not None:
        work.arm(tx, tx.now + timedelta(seconds=FROZEN_RETRY), "lease", timer.ref, timer.generation)
        return
    for hold in tx.conn.execute(
        sa.select(holds).where(holds.c.effect_id == timer.ref, holds.c.ended_at.is_(None))
    ).all():
        direct.undo(tx, hold.action_id, reason="superseded", why="its lease is over")


def _review_over(tx: Tx, timer: Any) -> None:
    """A containment's review date passed: it stays, its owner is asked to renew, release or hand over."""
    action = effects.mark_overdue(tx, timer.ref)
    if action is None:
        return
    text = f"{action.verb} on {action.target_name} is past its review date: renew it, release it, or hand it over"
    tasks.open_task(tx, action.incident_id, kind="review", text=text, asks={"decision": "str"}, action_id=action.id)


def _task_overdue(tx: Tx, timer: Any) -> None:
    """Nobody answered in time: say so, and go on waiting."""
    task = tasks.get(tx.conn, timer.ref)
    if task.status == "open":
        incidents.event(
            tx, task.incident_id, Kind.TASK_OPENED, data={"task": task.id, "kind": task.kind, "escalated": True},
            values={"text": task.text},
        )  # fmt: skip
