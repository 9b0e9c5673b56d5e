"""Lengths of time as people write them: 500ms, 30s, 10m, 24h, 7d."""

from __future__ import annotations

import re

from soar.errors import Invalid, Problem

Seconds = int | float
"""Whole seconds are an int; parts of a second make a float."""

LONGEST = 3_660 * 86_400_000
"""The longest duration, in milliseconds: ten years."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WRITTEN = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)", re.ASCII)
_SHOWN = 40


def milliseconds(text: object) -> int:
    """A written duration in milliseconds. Raises Invalid for anything else, bare numbers too."""
    found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
    length = int(found[1]) * _UNITS[found[2]] if found else LONGEST + 1
    if length > LONGEST:
        message = f"{repr(text)[:_SHOWN]} is no duration"
        mend = "Write a whole number and a unit, as in 500ms, 30s, 10m, 24h or 7d, at most ten years."
        raise Invalid(problems=[Problem(code="bad_duration", message=message, mend=mend)])
    return length


def seconds(text: object) -> Seconds:
    """A written duration in seconds. Raises Invalid."""
    return in_seconds(milliseconds(text))


def in_seconds(length: int) -> Seconds:
    """Milliseconds as seconds."""
    whole, rest = divmod(length, 1_000)
    return length / 1_000 if rest else whole


def written(length: Seconds) -> str:
    """Seconds in the largest unit that stays whole, as in 36h."""
    total = round(length * 1_000)
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if total % _UNITS[unit] == 0)
    return f"{total // _UNITS[unit]}{unit}"
