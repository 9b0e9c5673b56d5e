"""What a layout says: where cards, frames, lines and words stand. Units are pixels, from the upper left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

Point = tuple[float, float]
Way = Literal["then", "failure", "back", "undo"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A card, by its upper left corner. `outer` says that nothing stands left of it within its frames."""

    step_id: str
    x: float
    y: float
    outer: bool = True
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through these points; `arrow` at its end. `heavy` lines are the bars where ways part and join."""

    way: Way
    points: tuple[Point, ...]
    arrow: bool = True
    heavy: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A text on one line at the height `y`, in at most `room`. A frame's title begins at `x`, others are around it."""

    x: float
    y: float
    text: str
    kind: Literal["branch", "frame", "outcome", "pill"]
    room: float = 300.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle around what belongs together."""

    x: float
    y: float
    width: float
    height: float
    kind: Literal["branches", "side"]
    opener: str = ""


@dataclass(slots=True)
class Drawing:
    """Everything, with its extent: from `left` to `right` of the spine at x = 0, and down to `height`."""

    left: float = 0.0
    right: float = 0.0
    height: float = 0.0
    cards: list[Placed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    def reach(self, left: float, right: float, bottom: float) -> None:
        """Grow to hold this."""
        self.left, self.right = min(self.left, left), max(self.right, right)
        self.height = max(self.height, bottom)

    def take(self, other: Drawing, dx: float, dy: float) -> None:
        """Add another drawing, moved."""
        self.cards += [replace(each, x=each.x + dx, y=each.y + dy) for each in other.cards]
        self.lines += [replace(each, points=_moved(each.points, dx, dy)) for each in other.lines]
        self.words += [replace(each, x=each.x + dx, y=each.y + dy) for each in other.words]
        self.frames += [replace(each, x=each.x + dx, y=each.y + dy) for each in other.frames]
        self.reach(other.left + dx, other.right + dx, other.height + dy)

    def put(self, step_id: str, x: float, y: float) -> None:
        """Add a card by its upper left corner."""
        self.cards.append(Placed(step_id, x, y))

    def line(self, way: Way, *points: Point, arrow: bool = True, heavy: bool = False) -> None:
        """Add a line, without points at which it does not turn."""
        kept = [point for number, point in enumerate(points) if number == 0 or point != points[number - 1]]
        if len(kept) > 1:
            self.lines.append(Line(way, tuple(kept), arrow, heavy))


def _moved(points: Iterable[Point], dx: float, dy: float) -> tuple[Point, ...]:
    return tuple((x + dx, y + dy) for x, y in points)
