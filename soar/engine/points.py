"""Named places on the way of a call, where a test can stop the process to see what comes back.

In service each is a call of a function that does nothing. The names follow the order of one action
(SAFETY, section 2): what has happened when the place is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """What has just happened, or is about to."""

    CLAIMING = "claiming"
    CLAIMED = "claimed"
    INTENT_STORED = "intent_stored"
    ANSWERED = "answered"
    OUTCOME_WRITTEN = "outcome_written"
    OUTCOME_STORED = "outcome_stored"


def _go_on(point: Point) -> None:
    """Nothing stops here."""


reached: Callable[[Point], None] = _go_on
"""Called at each place by the thread that is there; a test replaces it."""
