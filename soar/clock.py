"""The clock of the house: wall time that keeps pace with the boot clock.

A wall clock can be set back or forward while timers run; the boot clock cannot. So time is an
anchor (a wall time and the boot time it was read at) plus the boot time since then. The anchor is
stored with the boot's id: a process that starts again within the same boot goes on with the time
it had. A jump of the wall clock is reported, not followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from soar.ids import new_id
from soar.ports import ClockStep

STEP_SECONDS = 5.0
ASKED = 3
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """The kernel's id of this boot; where there is none, a fresh id (each start is a new boot)."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return new_id()


def boot_seconds() -> float:
    """Seconds since the machine booted, time asleep included where the system can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A wall time and the boot time at which it was read."""

    boot: str
    boot_seconds: float
    wall: datetime

    def as_plain(self) -> dict[str, Any]:
        return {"boot": self.boot, "boot_seconds": self.boot_seconds, "wall": self.wall.isoformat()}

    @classmethod
    def measured(cls, ask: Callable[[], datetime]) -> Anchor:
        """An anchor at the time that somebody else tells (a database server), so that several nodes agree.

        `ask` returns an aware time. It is asked three times; the quickest answer counts, as of the middle
        of the question.
        """
        answers = []
        for _ in range(ASKED):
            before = boot_seconds()
            wall = ask().astimezone(UTC)
            after = boot_seconds()
            answers.append((after - before, (before + after) / 2, wall))
        _, at, wall = min(answers)
        return cls(boot_id(), at, wall)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Anchor:
        return cls(plain["boot"], plain["boot_seconds"], datetime.fromisoformat(plain["wall"]))


class SystemClock:
    """Wall time anchored to the boot clock (soar.ports.Clock).

    Without an anchor of this boot it begins with the system's wall clock. With the database server's
    (`Anchor.measured`) all nodes of one database go by one time, whatever their own wall clocks say.
    """

    def __init__(self, anchor: Anchor | None = None) -> None:
        boot = boot_id()
        if anchor is None or anchor.boot != boot or anchor.boot_seconds > boot_seconds():
            anchor = Anchor(boot, boot_seconds(), datetime.now(UTC))
        self.anchor = anchor
        self._seen_offset = self._offset()

    def now(self) -> datetime:
        return self.anchor.wall + timedelta(seconds=boot_seconds() - self.anchor.boot_seconds)

    def step(self) -> ClockStep | None:
        offset = self._offset()
        jumped = offset - self._seen_offset
        if abs(jumped) <= STEP_SECONDS:
            return None
        self._seen_offset = offset
        return ClockStep(jumped)

    def _offset(self) -> float:
        """How far the system's wall clock is ahead of ours, in seconds."""
        return (datetime.now(UTC) - self.now()).total_seconds()
