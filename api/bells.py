"""The two doorbells. Embedded: wakes threads of this process. Relay: tells others, and never makes a commit wait."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from soar.engine.runner import Runner
from soar.errors import SoarError, Unavailable

log = structlog.get_logger("soar.bells")
BURST = 32
"""At most so many messages for the rings of one moment: who is woken goes on while there is work."""
BREATH_SECONDS = 1.0
"""After a failure nothing is sent for so long."""
COMPLAIN_SECONDS = 10.0
"""A broker that is away is logged at most so often."""
ASK_SECONDS = 5.0
"""How often the broker is asked whether it is there, while nobody rings."""


class Bells:
    """The embedded doorbell: wakes the worker threads and the poller of this process."""

    def __init__(self) -> None:
        self.work = threading.Condition()
        self.timers = threading.Event()
        self.rung = 0

    def ring(self, work_id: str = "") -> None:
        if not work_id:
            self.timers.set()
            return
        with self.work:
            self.rung += 1
            self.work.notify_all()

    def wake_all(self) -> None:
        """Wake everybody, so that they see that it is time to stop."""
        self.ring("everybody")
        self.ring()


def work_forever(runner: Runner, bells: Bells, stop: threading.Event) -> None:
    """Work while there is work; else sleep until the bell rings, or a second has gone."""
    while not stop.is_set():
        heard = bells.rung
        try:
            if runner.work_once():
                continue
        except (SoarError, SQLAlchemyError) as error:
            log.warning("work_failed", worker=runner.owner.name, reason=str(error).partition("\n")[0])
        with bells.work:
            if bells.rung == heard:
                bells.work.wait(1.0)


class Courier(Protocol):
    """Carries a message to whoever works elsewhere. Its methods raise Unavailable, within a second."""

    def send(self, hint: str) -> None:
        """One message that there is work; the hint is the id of a row."""
        ...

    def ask(self) -> None:
        """Is the broker there?"""
        ...


class Relay:
    """The doorbell for workers elsewhere: `ring` only notes, a thread of its own carries.

    Rings of one moment become at most BURST messages. What cannot be sent is lost: the workers look
    for themselves every two seconds.
    """

    def __init__(self, courier: Courier) -> None:
        self.timers = threading.Event()
        self.well = True
        """Whether the broker answered when it was last spoken to."""
        self.lost = 0
        """How many rings were not carried because the broker was away."""
        self._courier = courier
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._hints: list[str] = []
        self._closed_until = 0.0
        self._complained = 0.0

    def ring(self, work_id: str = "") -> None:
        if not work_id:
            self.timers.set()
            return
        with self._lock:
            if len(self._hints) < BURST:
                self._hints.append(work_id)
        self._rung.set()

    def wake_all(self) -> None:
        """Wake the carrier and the poller, so that they see that it is time to stop."""
        self._rung.set()
        self.timers.set()

    def run(self, stop: threading.Event) -> None:
        """Carry until told to stop."""
        while not stop.is_set():
            self._rung.wait(ASK_SECONDS)
            self._rung.clear()
            self._carry()

    def _carry(self) -> None:
        with self._lock:
            hints, self._hints = self._hints, []
        if time.monotonic() < self._closed_until:
            self.lost += len(hints)
            return
        try:
            if not hints:
                self._courier.ask()
            while hints:
                self._courier.send(hints[0])
                hints.pop(0)
            self.well = True
        except Unavailable as error:
            self.well = False
            self.lost += len(hints)
            now = time.monotonic()
            self._closed_until = now + BREATH_SECONDS
            if now - self._complained > COMPLAIN_SECONDS or not self._complained:
                self._complained = now
                log.warning("broker_unreachable", reason=error.message, rings_lost=self.lost)
