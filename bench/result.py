"""One line of the table: ours beside theirs, and the ratio that was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.figure import Figure, NotMeasured

Better = Literal["higher", "lower"]
_PLACE = re.compile(r"[^\s:]*/soar-bench-[^\s/]*")
"""The folder of one run of the measurements: no reader of a note can go there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`ratio` above 1 means that we are ahead, whatever the unit; `goal` is the ratio asked for.

    `goal` None: printed for the reader, nothing is asked. `cpu` is milliseconds of processor time for
    each unit of work, `mb` peak memory, of the measuring process (a server beside it not counted).
    """

    id: str
    title: str
    peer: str
    unit: str
    better: Better = "higher"
    goal: float | None = None
    ours: float | None = None
    theirs: float | None = None
    ours_cpu: float | None = None
    theirs_cpu: float | None = None
    ours_mb: float | None = None
    theirs_mb: float | None = None
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How far ahead we are; None when one side was not measured."""
        if not self.ours or not self.theirs:
            return None
        return self.ours / self.theirs if self.better == "higher" else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where nothing was asked or measured."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal

    def plain(self, measured: str) -> dict[str, Any]:
        """The entry of `build/bench.json`."""
        names = ("id", "title", "peer", "unit", "better", "goal", "ours", "theirs", "ratio", "ours_cpu", "theirs_cpu",
                 "ours_mb", "theirs_mb", "note", "more")  # fmt: skip
        return {name: _short(getattr(self, name)) for name in names} | {"measured": measured}


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def beside(
    ours: Figure | NotMeasured, theirs: Figure | NotMeasured, *, share: float = 1.0, note: str = "", **words: Any
) -> Result:
    """A result of two figures. `share`: theirs counts with this part of its rate (two commits a step: 0.5)."""
    reasons = dict.fromkeys(f"not measured: {each}" for each in (ours, theirs) if isinstance(each, NotMeasured))
    parts: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for side, each in (("ours", ours), ("theirs", theirs)):
        if isinstance(each, Figure):
            rate = each.rate * (share if side == "theirs" else 1.0)
            parts |= {side: rate, f"{side}_cpu": each.cpu, f"{side}_mb": each.mb}
            more |= {f"{side}_{name}": value for name, value in each.more.items()}
    return Result(note=_PLACE.sub("...", "; ".join([*reasons, *([note] if note else [])])), more=more, **parts, **words)
