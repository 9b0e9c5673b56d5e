"""What a comparison means: reading a path from facts, and comparing what is there with a literal.

STIX 2.1 part 9 (sections 9.3, 9.6 and 9.7), narrowed: a value is compared by its own type, and a
comparison that makes no sense is neither true nor false, so that it never holds, negated or not.
Nothing here raises on any fact. Facts are data: no value is ever read as an expression.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import re2

Test = Callable[[Any], bool | None]
"""Whether a value passes; None says that the comparison makes no sense for it."""

MAX_PROGRAM = 2_000
"""Largest compiled regular expression, in RE2 instructions; common ones have 20 to 500."""

_SEARCH_BUDGET = 1 << 27
"""RE2 never takes longer than instructions times characters; this much is about half a second."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)", re.ASCII)
_LONGEST_NUMBER = 400
_LONGEST_SAID = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A constant of an expression, in every type that it can be compared as; None where it cannot.

    `encoding` is "hex" or "base64" for h'...' and b'...', whose bytes are `octets`.
    """

    text: str
    string: str | None = None
    number: int | float | None = None
    truth: bool | None = None
    moment: datetime | None = None
    octets: bytes | None = None
    encoding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Where a value stands in the facts. A step is a key, an index, or None for every element.

    `variable` is the name of a variable without its outer underscores; the steps then begin at its value.
    """

    text: str
    steps: tuple[str | int | None, ...]
    variable: str = ""

    def values(self, facts: Mapping[str, Any]) -> list[Any]:
        """All values there, [] when the path is missing. Null counts as missing.

        A list that is reached without an index counts as each of its elements.
        """
        found: list[Any] = [facts]
        for step in (*self._way(facts), *self.steps):
            if isinstance(step, str):
                found = [value[step] for value in _each(found) if isinstance(value, Mapping) and step in value]
            elif step is None:
                found = [element for value in found if isinstance(value, list | tuple) for element in value]
            else:
                found = [value[step] for value in found if isinstance(value, list | tuple) and step < len(value)]
        return [value for value in _each(found) if value is not None]

    def _way(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """The keys to a variable: its whole name where one is called so (CACAO allows `__` in names),
        else step and output.
        """
        if not self.variable:
            return ()
        known = facts.get("variables")
        whole = isinstance(known, Mapping) and self.variable in known
        return ("variables", self.variable) if whole else ("variables", *self.variable.split("__"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One test of one path. Over several values, one that passes is enough, negated or not.

    `absence` is NOT EXISTS, which alone holds where the path is missing.
    """

    path: Path
    text: str
    test: Test = field(repr=False, compare=False)
    negated: bool = False
    absence: bool = False

    def held_by(self, facts: Mapping[str, Any]) -> list[Any]:
        """The first value for which the comparison holds, in a list; else []."""
        for value in self.path.values(facts):
            passed = self.test(value)
            if passed is not None and passed != self.negated:
                return [value]
        return []


def _each(values: Iterable[Any]) -> list[Any]:
    """The values, with lists opened however deep; in order and without recursion."""
    result = []
    rest = list(values)[::-1]
    while rest:
        value = rest.pop()
        if isinstance(value, list | tuple):
            rest.extend(value[::-1])
        else:
            result.append(value)
    return result


def number(text: str) -> int | float | None:
    """A finite number written in decimal, else None."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None


def moment(text: str) -> datetime | None:
    """An RFC 3339 time, else None. Digits after the microseconds are dropped; second 60 is refused."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def octets(text: str, encoding: str) -> bytes | None:
    """The bytes that a hex or base64 text stands for, else None."""
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _pair(value: Any, literal: Literal) -> tuple[Any, Any] | None:
    """Value and literal as two things of one type, or None."""
    other: Any = None
    if isinstance(value, bool):
        other = literal.truth
    elif isinstance(value, int | float):
        other = literal.number if value == value else None  # noqa: PLR0124 - NaN differs from itself
    elif isinstance(value, str):
        if literal.moment is not None and literal.string is None:
            value, other = moment(value), literal.moment
        elif literal.octets is not None:
            value, other = octets(value, literal.encoding), literal.octets
        else:
            other = literal.string
    elif isinstance(value, datetime):
        other = literal.moment if value.utcoffset() is not None else None
    elif isinstance(value, bytes):
        other = literal.octets
    return None if value is None or other is None else (value, other)


def equal(literal: Literal) -> Test:
    """`=`; `!=` is its negation."""

    def test(value: Any) -> bool | None:
        pair = _pair(value, literal)
        return None if pair is None else bool(pair[0] == pair[1])

    return test


def ordered(literal: Literal, compare: Callable[[Any, Any], bool]) -> Test:
    """`<`, `<=`, `>`, `>=`. Truth values have no order."""

    def test(value: Any) -> bool | None:
        pair = None if isinstance(value, bool) else _pair(value, literal)
        return None if pair is None else compare(*pair)

    return test


def member(literals: Sequence[Literal]) -> Test:
    """`IN`. Elements of another type are passed over; a list of nothing else makes no sense."""
    tests = [equal(literal) for literal in literals]

    def test(value: Any) -> bool | None:
        verdicts = [verdict for verdict in (each(value) for each in tests) if verdict is not None]
        return any(verdicts) if verdicts else None

    return test


def matches(pattern: str) -> Test:
    """`MATCHES`: RE2 syntax, found anywhere in the text. Raises ValueError with the reason.

    A text so long that the search could take over half a second makes no sense to compare; only a
    regular expression of more than 128 instructions can meet one within 1 MiB.
    """
    return _search(_compiled(pattern, dot_nl=False))


def like(pattern: str) -> Test:
    """`LIKE`: `%` is any text, `_` one character, the rest as it stands; over the whole text."""
    parts = {"%": ".*", "_": "."}
    body = "".join(
        parts.get(part) or re2.escape(part) for part in re.findall(r"%|_|[^%_]+", re.sub("%+", "%", pattern))
    )
    return _search(_compiled(f"^{body}$", dot_nl=True))


def _compiled(pattern: str, *, dot_nl: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = dot_nl
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None
    if compiled.programsize > MAX_PROGRAM:
        raise ValueError(f"it compiles to {compiled.programsize} instructions, more than {MAX_PROGRAM}")
    return compiled


def _search(compiled: Any) -> Test:
    def test(value: Any) -> bool | None:
        if not isinstance(value, str) or len(value) * compiled.programsize > _SEARCH_BUDGET:
            return None
        try:
            return compiled.search(value) is not None
        except UnicodeEncodeError:
            return None

    return test


def inside(literal: Literal, *, turned: bool) -> Test:
    """`ISSUBSET`, or `ISSUPERSET` when turned, of two CIDR networks or addresses. Raises ValueError."""
    bound = ipaddress.ip_network(literal.string or "", strict=False)

    def test(value: Any) -> bool | None:
        if not isinstance(value, str):
            return None
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return None
        small, large = (bound, network) if turned else (network, bound)
        if isinstance(small, ipaddress.IPv4Network) and isinstance(large, ipaddress.IPv4Network):
            return small.subnet_of(large)
        if isinstance(small, ipaddress.IPv6Network) and isinstance(large, ipaddress.IPv6Network):
            return small.subnet_of(large)
        return None

    return test


def present(_value: Any) -> bool:
    """`EXISTS`, asked of a value that is there."""
    return True


def said(value: Any) -> str:
    """A fact as an explanation shows it: one short line of printable characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 256:
        return "a very large number"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return repr(value[:_LONGEST_SAID]) + ("..." if len(value) > _LONGEST_SAID else "")
    if isinstance(value, datetime):
        return value.isoformat()
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"
