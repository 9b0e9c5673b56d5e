"""How wide text is, and how it is broken into lines, where nothing can measure it.

Widths are those of a wide sans serif, in thousandths of the font size: what fits here fits in the narrower
fonts that most people have.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_NARROW, _THIN, _ROUND, _CAPITAL, _BROAD, _FULL = 300, 420, 615, 690, 900, 1_000
_WIDTHS = {
    **dict.fromkeys("ijl'|.,:;! ", _NARROW),
    **dict.fromkeys('frt()[]{}"-/\\', _THIN),
    **dict.fromkeys("ABCDEFGHIJKLNOPRSTUVXYZ&$", _CAPITAL),
    **dict.fromkeys("mwMQW@%<>=+~", _BROAD),
}
_BOLD = 1.1
_WORD = re.compile(r"\S+\s*")
CUT = "…"
LONGEST = 4_000
"""Of a text that is longer nothing more is read, in characters."""


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line, in the unit of `size`."""
    return sum(map(_advance, text)) * size / 1_000 * (_BOLD if bold else 1)


def wrap(text: str, size: float, room: float, *, most: int, bold: bool = False) -> list[str]:
    """The text in at most `most` lines of this width; what does not fit is cut off, with an ellipsis."""
    lines = [""]
    for word in _words(text, size, room, bold=bold):
        if lines[-1] and width((lines[-1] + word).rstrip(), size, bold=bold) > room:
            if len(lines) == most:
                lines[-1] = _cut(lines[-1], size, room, bold=bold)
                return lines
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += word
    lines[-1] = lines[-1].rstrip()
    return lines if lines[0] else []


def clean(text: str) -> str:
    """Text from outside on one line: without controls, marks of direction and what XML cannot hold."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(each if _harmless(each) else " " for each in text)
    return re.sub(r"\s+", " ", text).strip()


def _words(text: str, size: float, room: float, *, bold: bool) -> Iterator[str]:
    """The words of a text, those cut in pieces that are wider than a line."""
    for found in _WORD.finditer(clean(text[:LONGEST])):
        word = found.group()
        if width(word.rstrip(), size, bold=bold) > room:
            piece = ""
            for letter in word:
                if piece and width(piece + letter, size, bold=bold) > room:
                    yield piece
                    piece = ""
                piece += letter
            word = piece
        yield word


def _cut(line: str, size: float, room: float, *, bold: bool) -> str:
    line = line.rstrip()
    while line and width(line + CUT, size, bold=bold) > room:
        line = line[:-1].rstrip()
    return line + CUT


def _advance(letter: str) -> int:
    known = _WIDTHS.get(letter)
    if known is not None:
        return known
    if letter.isascii():
        return _ROUND
    return _FULL if unicodedata.east_asian_width(letter) in "WF" else 0 if unicodedata.combining(letter) else _CAPITAL


def _harmless(letter: str) -> bool:
    return (letter.isascii() and letter.isprintable()) or (
        unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
