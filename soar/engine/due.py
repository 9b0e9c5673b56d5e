"""The poller: takes each timer whose time has come, once, and does what it is there for.

A timer is a row. Taking it and doing it are one commit, so two pollers never both act; a timer of
an older generation finds nothing to do. A jump of the wall clock fires nothing early and is noted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import approving, direct, effects, running
from soar.engine.parts import Parts
from soar.errors import Conflict
from soar.events import Kind
from soar.store import incidents, streams, tasks, work
from soar.store.session import Tx
from soar.store.tables import holds, switches

log = structlog.get_logger("soar.due")
SWEEP_SECONDS = 10.0
PUT_OFF = timedelta(seconds=30)
"""How long a timer that broke is put off."""
FROZEN_RETRY = 30.0
"""Seconds until a lift that a kill switch holds back is looked at again."""


def fire_due(parts: Parts) -> int:
    """Fire everything that is due now; returns how many timers fired. One that breaks is put off."""
    fired = 0
    while True:
        with parts.store.read() as conn:
            timer_id = work.due_now(conn, parts.clock.now())
        if timer_id is None:
            return fired
        try:
            parts.store.write(partial(_fire, timer_id))
            fired += 1
        except Exception:  # the poller's last handler: one timer that breaks must not stop the others
            log.exception("timer_broke", timer=timer_id)
            parts.store.write(partial(work.postpone, timer_id=timer_id, by=PUT_OFF))


def sweep(parts: Parts, held: Callable[[], Collection[str]]) -> None:
    """Lengthen the claims of living workers, and free those that nobody lengthens."""

    def write(tx: Tx) -> int:
        work.extend(tx, [work_id for work_id in held() if work_id])
        return work.free_expired(tx)

    freed = parts.store.write(write)
    if freed:
        log.warning("claims_freed", claims=freed)


def note_clock(parts: Parts) -> None:
    """Write down a jump of the wall clock, if there was one."""
    step = parts.clock.step()
    if step is not None:
        data = {"milliseconds": round(step.seconds * 1000)}
        parts.store.write(lambda tx: streams.append(tx, streams.SYSTEM, Kind.SYSTEM_CLOCK_STEPPED, data=data))


def poll(parts: Parts, stop: threading.Event, bell: threading.Event, held: Callable[[], Collection[str]]) -> None:
    """Fire timers and sweep claims until told to stop; sleeps until the next timer, or until the bell rings."""
    swept = 0.0
    while not stop.is_set():
        at = None
        try:
            note_clock(parts)
            if time.monotonic() - swept > SWEEP_SECONDS:
                sweep(parts, held)
                swept = time.monotonic()
            fire_due(parts)
            with parts.store.read() as conn:
                at = work.next_due(conn)
        except Exception:  # the poller's last handler: whatever breaks, the timers after it must fire
            log.exception("poller_stumbled")
        wait = 1.0 if at is None else (at - parts.clock.now()).total_seconds()
        bell.wait(min(max(wait, 0.005), 1.0))
        bell.clear()


def _fire(timer_id: str, tx: Tx) -> bool:
    timer = work.take(tx, timer_id)
    if timer is None:
        return False
    match timer.kind:
        case "wake":
            work.wake(tx, timer.ref)
        case "step_delay" | "step_timeout" | "step_retry":
            run_id, _, occurrence = timer.ref.partition("|")
            running.fire(tx, run_id, occurrence, timer.generation, timer.kind.removeprefix("step_"))
        case "approval":
            approving.time_out(tx, timer.ref, timer.data)
        case "task":
            _task_overdue(tx, timer)
        case "lease":
            _lease_over(tx, timer)
        case "review":
            _review_over(tx, timer)
        case "resolve":
            pass  # intake's own thread asks the inventories, outside this write
        case _:
            log.error("unknown_timer", kind=timer.kind, ref=timer.ref)
    return True


def _lease_over(tx: Tx, timer: Any) -> None:
    """A block's time is over for one hold: that ends by itself, unless a kill switch holds lifts back."""
    hold = tx.conn.execute(sa.select(holds).where(holds.c.id == timer.ref, holds.c.ended_at.is_(None))).first()
    if hold is None:
        return
    if tx.conn.execute(sa.select(switches.c.name)).first() is not None:
        work.arm(tx, tx.now + timedelta(seconds=FROZEN_RETRY), "lease", timer.ref, timer.generation)
        return
    try:
        direct.undo(tx, hold.action_id, reason="superseded", why="its lease is over")
    except Conflict:
        log.info("lift_under_way", hold=hold.id)


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
