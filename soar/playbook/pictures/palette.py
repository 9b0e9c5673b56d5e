"""Colours, letters and small signs of the pictures of playbooks, in the light and in the dark.

Text stands out from its ground by 4.5 to 1, lines and bands from theirs by 3 to 1 (WCAG 2.2, 1.4.3 and
1.4.11). The six phases differ in lightness too, so that they are told apart without red, green or blue; and
each has its letter, so that nobody needs the colour at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from soar.phases import Phase


class Band(NamedTuple):
    """How a phase is shown: a letter, the ground it stands on, its own colour."""

    letter: str
    ground: str
    ink: str


BANDS: Mapping[Phase, Band] = {
    Phase.PREPARATION: Band("A", "#7a8691", "#000"),
    Phase.DETECTION: Band("D", "#0b3d91", "#fff"),
    Phase.CONTAINMENT: Band("C", "#c9400a", "#fff"),
    Phase.ERADICATION: Band("E", "#f2c230", "#000"),
    Phase.RECOVERY: Band("R", "#2fb58a", "#000"),
    Phase.POST_INCIDENT: Band("P", "#8a2d7c", "#fff"),
}
"""The letters are those of the phase chart in the terminal."""

LIGHT: Mapping[str, str] = {
    "ground": "#ffffff", "card": "#ffffff", "way": "#eef2f6", "edge": "#5f6b78", "frame": "#f6f8fa",
    "frame_edge": "#c3ccd5", "ink": "#17202a", "soft": "#4a5561", "line": "#4a5866", "fail": "#b3261e",
    "undo": "#6b3fa0", "side": "#fdf3f2", "none": "#dde3e9",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "ground": "#0f161d", "card": "#1c2732", "way": "#263442", "edge": "#8797a6", "frame": "#151e27",
    "frame_edge": "#3a4957", "ink": "#e8eef4", "soft": "#b4c0cb", "line": "#9db0c2", "fail": "#ff9c90",
    "undo": "#c9aef5", "side": "#241a1c", "none": "#3a4957",
}  # fmt: skip

STATUS: Mapping[str, tuple[str, str]] = {
    "succeeded": ("#1f6f43", "#fff"),
    "partial": ("#8a5a00", "#fff"),
    "failed": ("#b3261e", "#fff"),
    "running": ("#0b57a8", "#fff"),
    "delayed": ("#0b57a8", "#fff"),
    "waiting_retry": ("#0b57a8", "#fff"),
    "pending": ("#5f6b78", "#fff"),
    "skipped": ("#5f6b78", "#fff"),
    "cancelled": ("#3b4650", "#fff"),
}
"""Ground and ink of each status of a step in a run (soar.engine.run_state)."""

ICONS: Mapping[str, str] = {
    "person": "M6 5.8a2.3 2.3 0 1 0 0-4.6a2.3 2.3 0 0 0 0 4.6zM1.6 11c.3-2.5 2-3.6 4.4-3.6s4.1 1.1 4.4 3.6",
    "clock": "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10zM6 3.2V6l2 1.3",
    "again": "M10.4 5A4.6 4.6 0 1 0 10 8.2M10.7 1.8V5H7.5",
    "undo": "M4 1.8L1.4 4.4L4 7M1.4 4.4h6a3.1 3.1 0 0 1 0 6.2H4",
    "each": "M1.5 2.5h9M1.5 6h9M1.5 9.5h9",
    "danger": "M6 1.2L11.2 10.6H.8zM6 4.6v3M6 8.9v.3",
    "fail": "M2.4 2.4l7.2 7.2M9.6 2.4l-7.2 7.2",
    "both": "M3.6 1.5v9M8.4 1.5v9",
    "which": "M6 .8L11.2 6L6 11.2L.8 6zM6 4v2.4M6 8v.2",
    "book": "M2 1.5h8v9H2zM4.2 1.5v9",
}
"""Paths in a square of 12."""
