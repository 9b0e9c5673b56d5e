"""One figure of one round: a rate, and the processor time and memory that it took."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


class NotMeasured(Exception):
    """A figure could not be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`rate` in the item's unit; `cpu` in milliseconds for each unit of work; `mb` of peak memory."""

    rate: float
    cpu: float | None = None
    mb: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Meter:
    """Processor time of this process from its making to `stop`, in seconds."""

    def __init__(self) -> None:
        self._began = time.process_time()
        self.cpu = 0.0

    def stop(self) -> None:
        """Stop counting."""
        self.cpu = time.process_time() - self._began


def tell(*, rate: float, meter: Meter | None = None, done: int = 0, **more: Any) -> None:
    """Write a figure as the last line of a measuring process."""
    cpu = round(meter.cpu / done * 1000, 4) if meter and done else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"rate": rate, "cpu": cpu, "mb": round(peak, 1), "more": more}) + "\n")
    sys.stdout.flush()


def heard(line: str) -> Figure:
    """The figure that a measuring process told."""
    said = json.loads(line)
    return Figure(rate=said["rate"], cpu=said["cpu"], mb=said["mb"], more=said["more"])


def middle(figures: Sequence[Figure]) -> Figure:
    """The medians of several rounds, each part by itself."""

    def of(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return median(known) if known else None

    numbers = {
        name: median(each.more[name] for each in figures)
        for name, value in figures[0].more.items()
        if isinstance(value, int | float) and all(name in each.more for each in figures)
    }
    rate = median(each.rate for each in figures)
    return Figure(rate, of([each.cpu for each in figures]), of([each.mb for each in figures]), numbers)
