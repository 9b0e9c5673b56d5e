"""The one reader of JSON from outside.

It takes RFC 8259 and leaves out what two readers could understand differently: duplicate names, NaN
and Infinity, numbers that no float can hold, lone surrogates, NUL characters, a byte order mark,
anything after the document (I-JSON, RFC 7493, says much the same). Size, depth and count are checked
before anything is built.

Good input takes a fast road: one linear look at the text, then the decoder of the standard library.
What is refused there is read once more, slowly and without recursion, only to name the places.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from soar.errors import Invalid, Problem, TooLarge
from soar.strict_text import decode, place, pointer, shown

MAX_DIGITS = 4_000
"""Longest integer, in digits: the time to read one grows with the square of its length."""

HARD_DEPTH = 256
"""More depth than this no caller gets: the decoder recurses."""

_MAX_PROBLEMS = 20

# The closing quote is optional, so that an unterminated string is passed once, not from each quote in it.
_ANY_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_LONG_DIGITS = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")
# Group 1 is set for half a surrogate pair and for NUL, not for whole pairs nor for an escaped backslash.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F]..|0000)|.)", re.DOTALL
)

_SPACE = re.compile(r"[ \t\n\r]*+")
_GOOD_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*+)((?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![\w.+-])")
_WORD = re.compile(r"[\w.+-]++|.", re.DOTALL)


def parse(data: bytes | str, *, max_bytes: int = 1_048_576, max_depth: int = 64, max_nodes: int = 200_000) -> Any:
    """Read one JSON document; the result equals that of `json.loads`.

    `max_nodes` limits the sum of opening brackets and commas; `max_depth` is at most HARD_DEPTH.
    Raises TooLarge over a limit, else Invalid; each problem names line and column and, where it is
    inside a value, the pointer of that value.
    """
    text = decode(data, max_bytes=max_bytes, what="JSON document")
    max_depth = min(max_depth, HARD_DEPTH)
    if not _within(text, max_depth, max_nodes) or _LONG_DIGITS.search(text) or _bad_escape(text):
        _refuse_bad(text, max_depth, max_nodes)
    try:
        return _DECODER.decode(text)
    except ValueError as error:
        _refuse_bad(text, max_depth, max_nodes)
        raise Invalid(problems=[Problem(code="syntax", message=str(error), line=1, column=1)]) from None


def _refuse_bad(text: str, max_depth: int, max_nodes: int) -> None:
    """Look closely, and raise if something is wrong: long digits may also stand in a string or a fraction."""
    problems, too_large = _Scan(text, max_depth, max_nodes).run()
    if problems:
        raise TooLarge(problems=problems) if too_large else Invalid(problems=problems)


def _within(text: str, max_depth: int, max_nodes: int) -> bool:
    """Whether depth and count stay within the limits, judged by the brackets outside of strings."""
    opened = text.count("[") + text.count("{")
    if opened <= max_depth and opened + text.count(",") <= max_nodes:
        return True
    bare = _ANY_STRING.sub("", text)
    if bare.count("[") + bare.count("{") + bare.count(",") > max_nodes:
        return False
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in "[{" else -1
        if depth > max_depth:
            return False
    return True


def _bad_escape(text: str) -> bool:
    return "\\u" in text and any(escape.group(1) for escape in _ESCAPE.finditer(text))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


class _Stop(Exception):
    """Nothing after this place can be read."""


@dataclass(slots=True)
class _Frame:
    """An open object or array: how many members were begun, and the name or index of the last."""

    closing: str
    count: int = 0
    key: str | int | None = None
    names: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Scan:
    """Reads refused text to say what is wrong and where. Builds nothing, never recurses.

    Bad values are noted and passed over; bad syntax or a passed limit ends the reading.
    """

    text: str
    max_depth: int
    max_nodes: int
    at: int = 0
    nodes: int = 0
    too_large: bool = False
    stack: list[_Frame] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def run(self) -> tuple[list[Problem], bool]:
        """Every problem that could be found, and whether a limit was passed."""
        try:
            if not self._peek():
                self._stop("empty", "there is no JSON document here", mend="Send one JSON value.")
            self._value()
            while self.stack:
                self._member(self.stack[-1])
            if self._peek():
                message = f"{shown(self.text[self.at :])} follows the end of the document"
                self._stop("trailing_data", message, mend="Send one JSON value and nothing after it.")
        except _Stop:
            pass
        return self.problems, self.too_large

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.text[self.at : self.at + 1]

    def _note(self, code: str, message: str, *, mend: str, offset: int | None = None) -> None:
        line, column = place(self.text, self.at if offset is None else offset)
        where = pointer(frame.key for frame in self.stack if frame.key is not None)
        self.problems.append(Problem(code=code, message=message, pointer=where, line=line, column=column, mend=mend))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise _Stop

    def _stop(self, code: str, message: str, *, mend: str, offset: int | None = None) -> NoReturn:
        self._note(code, message, mend=mend, offset=offset)
        raise _Stop

    def _unexpected(self, wanted: str) -> NoReturn:
        word = _WORD.match(self.text, self.at)
        if word is None:
            self._stop("syntax", f"the document ends where {wanted} must stand", mend="Send the whole document.")
        self._stop("syntax", f"{shown(word.group())} stands where {wanted} must stand", mend="Write plain JSON.")

    def _member(self, frame: _Frame) -> None:
        """One step inside the innermost object or array: close it, or read its next member."""
        char = self._peek()
        if char == frame.closing:
            self.at += 1
            self.stack.pop()
            return
        if frame.count:
            if char != ",":
                self._unexpected(f"a comma or {frame.closing}")
            self._count()
            self.at += 1
        if frame.closing == "}":
            self._name(frame)
        else:
            frame.key = frame.count
        frame.count += 1
        self._value()

    def _name(self, frame: _Frame) -> None:
        frame.key = None
        if self._peek() != '"':
            self._unexpected("a name in double quotes")
        start = self.at
        name: str = json.loads(self._string())
        frame.key = name
        if name in frame.names:
            first, _ = place(self.text, frame.names[name])
            message = f"the name {shown(name)} stands twice in one object, first on line {first}"
            self._note("duplicate_key", message, mend="Keep one of them.", offset=start)
        frame.names.setdefault(name, start)
        if self._peek() != ":":
            self._unexpected("a colon")
        self.at += 1

    def _value(self) -> None:
        char = self._peek()
        if char in ("{", "["):
            if len(self.stack) >= self.max_depth:
                self._over("too_deep", f"the document is nested deeper than {self.max_depth}")
            self._count()
            self.stack.append(_Frame("}" if char == "{" else "]"))
            self.at += 1
        elif char == '"':
            self._string()
        elif number := _NUMBER.match(self.text, self.at):
            self._number(number)
            self.at = number.end()
        else:
            self._literal()

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > self.max_nodes:
            self._over("too_many_nodes", f"the document has more than {self.max_nodes} values")

    def _over(self, code: str, message: str) -> NoReturn:
        self.too_large = True
        self._stop(code, message, mend="Send less, or flatter.")

    def _string(self) -> str:
        """Pass over a string; returns it as written, quotes included."""
        start = self.at
        good = _GOOD_STRING.match(self.text, start)
        end = good.end() if good else start
        if (char := self.text[end : end + 1]) != '"':
            message, mend = "a string does not end", "Close it with a double quote."
            if char == "\\":
                message, mend = f"{shown(self.text[end : end + 2])} is no escape", "Write \\\\ for a backslash."
            elif char:
                message, mend = f"the control character U+{ord(char):04X} stands bare in a string", "Escape it."
            self._stop("syntax", message, mend=mend, offset=end)
        self.at = end + 1
        bad = next((escape for escape in _ESCAPE.finditer(self.text, start, end) if escape.group(1)), None)
        if bad and bad.group(1) == "0000":
            self._note("control_character", "a string holds NUL", mend="Remove it.", offset=bad.start())
        elif bad:
            message = f"{bad.group()} is half a surrogate pair"
            self._note("lone_surrogate", message, mend="Send whole characters.", offset=bad.start())
        return self.text[start : self.at]

    def _number(self, number: re.Match[str]) -> None:
        whole, rest = number.groups()
        if rest and math.isinf(float(number.group())):
            self._note("not_finite", f"{shown(number.group())} is too large for a number", mend="Send it as a string.")
        elif not rest and len(whole) > MAX_DIGITS:
            message = f"an integer has {len(whole)} digits, more than {MAX_DIGITS}"
            self._note("number_too_long", message, mend="Send it as a string.")

    def _literal(self) -> None:
        word = _WORD.match(self.text, self.at)
        if word and word.group() in ("NaN", "Infinity", "-Infinity"):
            self._note("not_finite", f"{word.group()} is not JSON", mend="Send null or a string.")
        elif word is None or word.group() not in ("true", "false", "null"):
            self._unexpected("a JSON value")
        self.at = word.end()
