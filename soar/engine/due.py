"""The poller: takes each timer whose time has come, once, and does what it is there for.

A timer is a row. Taking it and doing it are one commit, so two pollers never both act; a timer of
an older generation finds nothing to do. A jump of the wall clock fires nothing early and is noted.
"""

from __future__ import annotations

import math
import random
import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from soar.engine import approving, breakglass, expiry, running, schedules
from soar.engine.parts import Parts
from soar.errors import Unavailable
from soar.events import Kind
from soar.store import streams, timers, work
from soar.store.session import Tx

log = structlog.get_logger("soar.due")
PUT_OFF = timedelta(seconds=30)
"""How long a timer that broke is put off."""
LOCKED = (1.0, 5.0)
"""Between how many seconds a timer is put off whose rows somebody else keeps locked: tried too often, such
timers would take all the time of the others."""


def fire_due(parts: Parts, stop: threading.Event | None = None) -> int:
    """Fire everything that is due now; returns how many timers fired. One that breaks is put off.

    Each is taken and done in one commit of its own, so that a node that stops in the middle holds one.
    """
    fired = 0
    while stop is None or not stop.is_set():
        with parts.store.read() as conn:
            at = timers.next_at(conn)
        if at is None or at > parts.clock.now():
            break
        more = _fire_some(parts, stop)
        fired += more
        if not more:
            break
    return fired


def _fire_some(parts: Parts, stop: threading.Event | None) -> int:
    """Fire until nobody's timer is left; returns how many."""
    fired = 0
    while stop is None or not stop.is_set():
        taking = _Taking(parts)
        try:
            if not parts.store.write(taking.fire):
                break
            fired += 1
        except Unavailable as error:
            if not taking.timer_id:
                raise
            log.warning("timer_waits", timer=taking.timer_id, reason=error.message)
            by = timedelta(seconds=random.uniform(*LOCKED))  # noqa: S311 - to spread them, no secret
            _put_off(parts, taking.timer_id, by)
        except Exception:  # the poller's last handler: one timer that breaks must not stop the others
            if not taking.timer_id:
                raise
            log.exception("timer_broke", timer=taking.timer_id)
            _put_off(parts, taking.timer_id, PUT_OFF)
    return fired


def _put_off(parts: Parts, timer_id: str, by: timedelta) -> None:
    parts.store.write(lambda tx: timers.put_off(tx, timer_id, by))


class _Taking:
    """One timer on its way; `timer_id` says which one, also when it breaks."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.timer_id = ""

    def fire(self, tx: Tx) -> bool:
        """Take the next timer and do what it is there for; False when there is none."""
        self.timer_id = ""
        timer = timers.take_next(tx)
        if timer is None:
            return False
        self.timer_id = timer.id
        _do(self.parts, tx, timer)
        return True


def sweep(parts: Parts) -> None:
    """Free the claims that nobody lengthens: their workers are gone, or were frozen for too long."""
    freed = parts.store.write(work.free_expired)
    if freed:
        log.warning("claims_freed", claims=freed)


def end_overlong(parts: Parts) -> None:
    """End the steps that have gone on for longer than any may."""
    with parts.store.read() as conn:
        late = work.older(conn, parts.clock.now() - parts.longest_step)
    for run_id, occurrence in late:
        parts.store.write(partial(running.outlived, run_id=run_id, occurrence=occurrence))


def note_clock(parts: Parts) -> None:
    """Write down a jump of the wall clock, if there was one."""
    step = parts.clock.step()
    if step is not None:
        data = {"milliseconds": round(step.seconds * 1000)}
        parts.store.write(lambda tx: streams.append(tx, streams.SYSTEM, Kind.SYSTEM_CLOCK_STEPPED, data=data))


def poll(parts: Parts, stop: threading.Event, bell: threading.Event) -> None:
    """Fire timers and sweep claims until told to stop; sleeps until the next timer, or until the bell rings."""
    swept = looked = -math.inf
    seldom = min(3600.0, parts.longest_step.total_seconds() / 4)
    while not stop.is_set():
        at = None
        try:
            note_clock(parts)
            if time.monotonic() - swept > parts.sweep_seconds:
                sweep(parts)
                swept = time.monotonic()
            if time.monotonic() - looked > seldom:
                end_overlong(parts)
                looked = time.monotonic()
            fire_due(parts, stop)
            with parts.store.read() as conn:
                at = timers.next_at(conn)
        except Exception:  # the poller's last handler: whatever breaks, the timers after it must fire
            log.exception("poller_stumbled")
        wait = 1.0 if at is None else (at - parts.clock.now()).total_seconds()
        bell.wait(min(max(wait, 0.005), 1.0))
        bell.clear()


def _do(parts: Parts, tx: Tx, timer: Any) -> None:
    match timer.kind:
        case "wake":
            work.wake(tx, timer.ref)
        case "step_delay" | "step_timeout" | "step_retry":
            run_id, _, occurrence = timer.ref.partition("|")
            running.fire(tx, run_id, occurrence, timer.generation, timer.kind.removeprefix("step_"))
        case "approval":
            approving.time_out(tx, parts.gate, timer.ref, timer.data)
        case "task":
            expiry.task_overdue(tx, timer)
        case "lease":
            expiry.lease_over(parts, tx, timer)
        case "review":
            expiry.review_over(tx, timer)
        case schedules.TIMER:
            schedules.fire(parts, tx, timer.ref)
        case breakglass.TIMER:
            breakglass.time_out(tx, timer.ref)
        case _:
            log.error("unknown_timer", kind=timer.kind, ref=timer.ref)
