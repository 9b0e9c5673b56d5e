"""What a forked child does: builds the engine on a database, begins a story, meets its fault, works on.

The child is told everything in one plain value (`spec`), so that the same code plays a worker that
will be killed, one that comes after it, and one that is frozen in between.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from evidence.collection import VaultCustodian
from evidence.vault import FolderVault
from soar.clock import SystemClock, boot_id
from soar.engine import points
from soar.engine.parts import Parts
from soar.errors import SoarError
from soar.guards.policy import Policy
from soar.store.session import Store
from tests.crash import drills, engine
from tests.crash.target import TargetAdapter

STOPPED = 0.6
"""Longer than the half second after which a worker must look again before it sends."""


class Room:
    """An engine on one database, with the target as its only adapter."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.store = Store(spec["url"], SystemClock())
        folder = Path(spec["folder"])
        adapter = TargetAdapter(spec["socket"], spec["cell"], drills.capabilities(spec["column"]))
        self.parts = Parts(
            store=self.store,
            adapters={"target": adapter},
            custodian=VaultCustodian(self.store, FolderVault(folder / "vault"), self.store.clock),
            policy=Policy(configured=True, evidence_box=0.0),
            clock=self.store.clock,
            sweep_seconds=0.1,
        )
        self.runner = engine.runner(self.parts, f"worker-{os.getpid()}", boot_id())

    def work(self, seconds: float, *, until: Callable[[], bool] | None = None) -> bool:
        """Work until nothing is left to do, or the time is over; True when nothing is left."""
        over = until or self.settled
        ends = time.monotonic() + seconds
        swept = 0.0
        while time.monotonic() < ends:
            try:
                if time.monotonic() - swept > 0.1:
                    swept = time.monotonic()
                    engine.sweep(self.parts)
                if self.runner.work_once():
                    continue
                engine.fire_due(self.parts)
                if over():
                    return True
            except SoarError as error:
                structlog.get_logger("child").warning("work_failed", reason=error.message)
            time.sleep(0.02)
        return False

    def settled(self) -> bool:
        """No work is ready or held, and no timer will wake any."""
        with self.store.read() as conn:
            return drills.settled(conn)


def play(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Play one child to its end; returns what it saw. A fault that kills never returns."""
    if spec.get("node"):
        from tests.crash import node

        return node.play(spec)
    if spec.get("broken"):
        engine.BREAK[spec["broken"]]()
    with capture_logs() as logs:
        room = Room(spec)
        if spec.get("recover"):
            engine.take_over(room.parts)
        if spec.get("begin"):
            drills.begin(room, spec["begin"])
        if spec.get("resume"):
            drills.resume(room)
        passed = arm(room, spec.get("fault") or {"at": "nowhere"})
        if spec.get("tell"):
            drills.TOLD[spec["tell"]](room)
        settled = room.work(spec.get("seconds", 15.0))
        room.store.close()
    log, why = [f"{entry['event']} {entry.get('reason', '')}" for entry in logs], [repr(entry) for entry in logs][-5:]
    return {"settled": settled, "log": log, "why": why, "passed": len(passed)}


def arm(room: Room, fault: Mapping[str, Any], *, met: Path | None = None) -> Sequence[points.Point]:
    """Put a fault at the nth time that a point is reached (`*`: any point); returns those that were passed.

    `met` is a file that will hold the id of the process that met it.
    """
    passed: list[points.Point] = []

    def reached(point: points.Point) -> None:
        passed.append(point)
        times = len(passed) if fault["at"] == "*" else passed.count(point)
        if fault["at"] in ("*", point.value) and times == fault.get("nth", 1):
            if met is not None:
                met.write_text(str(os.getpid()))
            _ACTS[fault["act"]](room)

    points.reached = reached
    return passed


def _kill(_room: Room) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _stop(_room: Room) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.05)  # another thread may have taken the signal: this one must not get any further


def _throw(what: str) -> Callable[[Room], None]:
    def throw(room: Room) -> None:
        drills.THROWN[what](room)
        time.sleep(STOPPED)

    return throw


def _read_only(room: Room) -> None:
    """From here on the database refuses every write; the process dies of something else a little later."""
    engine.read_only(room.store)
    threading.Timer(0.5, _kill, [room]).start()


def _fill(room: Room) -> None:
    """Fill the disk to its last byte; whoever takes the filler away makes room again.

    Where no small disk can be had, the database is not allowed to grow while the filler stands.
    """
    filler = Path(room.spec["folder"]) / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 512, 1) if room.spec["disk"] == "tmpfs" else ():
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    if room.spec["disk"] != "tmpfs":
        engine.stop_growing(room.store, while_there_is=filler)


_ACTS: Mapping[str, Callable[[Room], None]] = {
    "kill": _kill,
    "stop": _stop,
    "read_only": _read_only,
    "fill": _fill,
    **{name: _throw(name) for name in ("kill_switch", "cancel", "pause")},
}
