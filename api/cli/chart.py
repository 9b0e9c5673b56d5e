"""The phase timeline as a bar chart in the terminal: a row for each lane, blocks lettered and coloured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from api.cli import clean
from soar.events import moment
from soar.phases import Phase

if TYPE_CHECKING:
    from rich.text import Text

LETTERS: Mapping[Phase, tuple[str, str]] = {
    Phase.PREPARATION: ("A", "black on white"),
    Phase.DETECTION: ("D", "white on blue"),
    Phase.CONTAINMENT: ("C", "white on red"),
    Phase.ERADICATION: ("E", "black on yellow"),
    Phase.RECOVERY: ("R", "black on green"),
    Phase.POST_INCIDENT: ("P", "white on magenta"),
}
"""A phase's letter and colours; the letter says it alone where there is no colour."""
OPEN = ">"
_NARROWEST = 20
_WIDEST_LABEL = 26


@dataclass(frozen=True, slots=True)
class Block:
    """A stay in a phase, in columns: from `first` up to and with `last`."""

    phase: Phase
    first: int
    last: int
    open: bool


@dataclass(slots=True)
class Row:
    """Blocks that do not overlap."""

    blocks: list[Block] = field(default_factory=list)

    def takes(self, block: Block) -> bool:
        return all(block.first > other.last or block.last < other.first for other in self.blocks)


def chart(timeline: Mapping[str, Any], width: int) -> Text:
    """Draw a timeline (`soar.timeline.Timeline.as_plain`, or the API's view that holds one) in `width` columns.

    Time runs from the first entry to the last end, evenly. What overlaps takes further rows of its
    lane; the block of a stay that still lasts ends in `>`. Plain ASCII where the console has no colour.
    """
    from rich.text import Text

    lanes = _lanes(timeline.get("timeline", timeline))
    times = [time for _, stays in lanes for _, start, end, _ in stays for time in (start, end)]
    if not times:
        return Text("no phases yet")
    label = min(_WIDEST_LABEL, max(len(key) for key, _ in lanes))
    columns = max(_NARROWEST, width - label - 2)
    scale = _Scale(min(times), max(times), columns)
    drawn = Text(no_wrap=True, overflow="crop")
    for key, stays in lanes:
        for number, row in enumerate(_packed(scale.block(*stay) for stay in stays)):
            drawn.append(f"{(_short(key, label) if number == 0 else ''):<{label}}  ", style="bold")
            _draw(drawn, row, columns)
            drawn.append("\n")
    for line in (scale.ruler(), scale.labels()):
        drawn.append(" " * (label + 2) + line + "\n", style="dim")
    _legend(drawn, lanes, width)
    return drawn


Stay = tuple[Phase, datetime, datetime, bool]


def _lanes(plain: Mapping[str, Any]) -> list[tuple[str, list[Stay]]]:
    return [
        (clean.line(lane["key"]), [_stay(interval) for interval in lane["intervals"]])
        for lane in plain.get("lanes", [])
        if lane["intervals"]
    ]


def _stay(interval: Mapping[str, Any]) -> Stay:
    """An interval that lasts ends, for the eye, where its seconds reach: now."""
    start = moment(interval["start"])
    end = moment(interval["end"]) if interval["end"] else start + timedelta(seconds=interval["seconds"])
    return Phase(interval["phase"]), start, max(start, end), interval["end"] is None


@dataclass(frozen=True, slots=True)
class _Scale:
    """Time to columns, evenly."""

    first: datetime
    last: datetime
    columns: int

    @property
    def span(self) -> float:
        return max((self.last - self.first).total_seconds(), 1e-6)

    def edge(self, time: datetime) -> int:
        """The column before which a time stands. The last one is kept for what begins at the very end."""
        return round((time - self.first).total_seconds() / self.span * (self.columns - 1))

    def block(self, phase: Phase, start: datetime, end: datetime, lasts: bool) -> Block:
        first = self.edge(start)
        return Block(phase, first, self.columns - 1 if lasts else max(first, self.edge(end) - 1), lasts)

    def marks(self) -> Sequence[int]:
        """The columns of the axis that are marked: quarters, or halves where there is little room."""
        parts = 4 if self.columns >= 60 else 2
        return [round(number * (self.columns - 1) / parts) for number in range(parts + 1)]

    def ruler(self) -> str:
        return "".join("|" if column in self.marks() else "-" for column in range(self.columns))

    def labels(self) -> str:
        """The start's time of day in UTC, then how long after it each mark is."""
        line = f"{self.first:%Y-%m-%d %H:%M:%SZ}" if self.columns >= 60 else f"{self.first:%H:%M:%SZ}"
        for mark in self.marks()[1:]:
            said = "+" + duration(self.span * mark / (self.columns - 1))
            place = min(mark, self.columns - len(said))
            line = f"{line:<{place}}{said}" if place > len(line) else line
        return line


def duration(seconds: float) -> str:
    """A time span in its two largest units: `2h05m`, `3d`, `12s`, `0.4s`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for size, unit, part, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest:02}{below}" if rest else "")
    return f"{whole}s"


def _packed(blocks: Iterable[Block]) -> list[Row]:
    """Each block in the first row where it fits; one that would only repeat what is drawn is left out."""
    rows: list[Row] = []
    for block in blocks:
        if any(_shown(other, block) for row in rows for other in row.blocks):
            continue
        row = next((each for each in rows if each.takes(block)), None)
        if row is None:
            row = Row()
            rows.append(row)
        row.blocks.append(block)
    return rows


def _shown(drawn: Block, block: Block) -> bool:
    inside = drawn.first <= block.first and block.last <= drawn.last
    return inside and drawn.phase is block.phase and drawn.open >= block.open


def _draw(onto: Text, row: Row, columns: int) -> None:
    at = 0
    for block in sorted(row.blocks, key=lambda each: each.first):
        letter, style = LETTERS[block.phase]
        width = block.last - block.first + 1
        onto.append("." * (block.first - at), style="dim")
        onto.append(letter * (width - 1) + OPEN if block.open and width > 1 else letter * width, style=style)
        at = block.last + 1
    onto.append("." * (columns - at), style="dim")


def _legend(onto: Text, lanes: Sequence[tuple[str, list[Stay]]], width: int) -> None:
    """The letters that were met, on as many lines as they need."""
    met = {phase for _, stays in lanes for phase, *_ in stays}
    said = [(letter, style, phase.value) for phase, (letter, style) in LETTERS.items() if phase in met]
    if any(lasts for _, stays in lanes for *_, lasts in stays):
        said.append((OPEN, "", "still lasts"))
    used = 0
    for letter, style, words in said:
        size = len(words) + 4
        if used and used + size > width:
            onto.append("\n")
            used = 0
        onto.append(letter, style=style)
        onto.append(f" {words}  ")
        used += size


def _short(key: str, width: int) -> str:
    return key if len(key) <= width else key[: width - 2] + ".."
