"""Makes text from outside harmless to a terminal and to a spreadsheet.

An alert's field, a host's name, a server's answer can hold escape sequences that repaint the
screen, set the clipboard or hide text. Nothing is printed before it went through here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]P_^X]|[\x9d\x90\x9f\x9e\x98])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, APC, PM, SOS
    r"|\x1b[ -/]*[0-~]?"  # the other escapes of ECMA-48
)
_JOINERS = "\u200c\u200d"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def text(value: str) -> str:
    """The text without escape sequences, controls and bidirectional marks; newline and tab stay."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(each for each in _ESCAPES.sub("", value) if _harmless(each))


def line(value: str) -> str:
    """The same on one line: each run of newlines and tabs becomes a space."""
    return re.sub(r"[\n\t]+", " ", text(value.replace("\r\n", "\n"))).strip("\n\t")


def plain(value: Any) -> Any:
    """JSON-ready data with every text in it, names of members too, made harmless."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(str(name)): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def cell(value: str) -> str:
    """A cell of CSV: what a spreadsheet would take for a formula gets an apostrophe in front."""
    harmless = text(value)
    return f"'{harmless}" if value.startswith(_FORMULA) or harmless.startswith(_FORMULA) else harmless


def _harmless(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cc":
        return character in "\n\t"
    if category == "Cf":
        return character in _JOINERS
    return category not in ("Cs", "Zl", "Zp")
