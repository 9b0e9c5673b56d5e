"""Reading a source's document: named fields in, problems with their places out.

Elastic documents write one field as dotted key, as nested objects, as a mix of both, as a scalar or
as an array; all of these are the same field (Elasticsearch reads them alike). `Reader` finds a field
under each spelling and collects what is wrong, so that one refusal names every problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from soar.errors import Invalid, Problem, TooLarge
from soar.model import JsonObject
from soar.observables import printable

MOST_VALUES = 200
"""How many values of one field are read; what is over is named in `left_out`."""

MOST_ALERTS = 500
"""How many alerts one delivery may carry."""

LONGEST_NAME = 255
LONGEST_PROSE = 512
_DEEPEST = 16
_MOST_NOTES = 50
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")


class Found(NamedTuple):
    """One value of a field, and its JSON Pointer (RFC 6901)."""

    pointer: str
    value: Any


class Reader:
    """Reads fields of one alert. `problems` refuse it; `left_out` are values that could not be used.

    A wrong type is the sender's mistake and a problem. Odd characters or a malformed address may be
    the attacker's own work, and must not make the alert vanish: the value alone is left out.
    """

    def __init__(self, document: Any, pointer: str = "") -> None:
        self.problems: list[Problem] = []
        self.left_out: list[str] = []
        self._document: JsonObject = {}
        if isinstance(document, Mapping):
            self._document = document
        else:
            self._wrong(Found(pointer, document), "an object", "Send one alert as a JSON object.")
        self._pointer = pointer

    def find(self, path: str) -> list[Found]:
        """Every value of a dotted path under every spelling, arrays opened, nulls passed over."""
        parts, beginnings = _parts(path)
        if self._document.keys().isdisjoint(beginnings):  # most fields of a schema are not there
            return []
        found: list[Found] = []
        for each in self._walk(self._document, parts, self._pointer, 0):
            if len(found) == MOST_VALUES:
                self.leave_out(each, f"{path} has over {MOST_VALUES} values, the rest is not read")
                break
            found.append(each)
        return found

    def texts(self, *paths: str, longest: int = LONGEST_NAME) -> list[Found]:
        """Texts of the paths in order; a number is read as its digits, as Elasticsearch keywords are."""
        found = []
        for each in (each for path in paths for each in self.find(path)):
            text = _text(each.value)
            if text is None:
                self._wrong(each, "a text")
            elif len(text) > longest:
                self.leave_out(each, f"over {longest} characters")
            elif not printable(text):
                self.leave_out(each, "control characters")
            elif text:
                found.append(Found(each.pointer, text))
        return found

    def first(self, *paths: str) -> str:
        """The first text of the paths, or ''."""
        return next((each.value for path in paths for each in self.texts(path)), "")

    def needed(self, *paths: str) -> str:
        """The first text of the paths; a problem where there is none."""
        before = len(self.problems)
        text = self.first(*paths)
        if not text and len(self.problems) == before:
            self._missing(paths, "a text")
        return text

    def prose(self, path: str) -> str:
        """The first text of a path, made fit to show: odd characters replaced, cut at 512 characters."""
        for each in self.find(path):
            text = _text(each.value)
            if text is None:
                self._wrong(each, "a text")
            elif text:
                text = text[:LONGEST_PROSE]
                return text if printable(text) else "".join(each if printable(each) else "\ufffd" for each in text)
        return ""

    def integer(self, path: str) -> int | None:
        """The first value, a whole number."""
        for each in self.find(path):
            if isinstance(each.value, int) and not isinstance(each.value, bool) and abs(each.value) < 2**64:
                return each.value
            self._wrong(each, "a whole number")
            break
        return None

    def number(self, path: str, least: float, most: float) -> int | float | None:
        """The first value, a number within bounds."""
        for each in self.find(path):
            number = each.value
            if isinstance(number, int | float) and not isinstance(number, bool) and least <= number <= most:
                return number
            self._wrong(each, f"a number from {least:g} to {most:g}")
            break
        return None

    def time(self, *paths: str) -> datetime | None:
        """The first time of the paths, in UTC: ISO 8601 with a zone, `+0000` and any fraction allowed."""
        for each in (each for path in paths for each in self.find(path)):
            moment = _moment(each.value)
            if moment is None:
                self._wrong(each, "an ISO 8601 time with a zone", "Write it as 2026-11-23T09:00:00.000Z.")
            return moment
        return None

    def needed_time(self, *paths: str) -> datetime:
        """As `time`; a problem where there is none. What it returns then is never used."""
        before = len(self.problems)
        found = self.time(*paths)
        if found is None and len(self.problems) == before:
            self._missing(paths, "an ISO 8601 time with a zone")
        return found or datetime.fromtimestamp(0, UTC)

    def techniques(self, *paths: str) -> tuple[str, ...]:
        """ATT&CK technique ids, each once, sorted; tactics and names are left out."""
        ids = set()
        for each in self.texts(*paths):
            if _TECHNIQUE.fullmatch(each.value.upper()):
                ids.add(each.value.upper())
            else:
                self.leave_out(each, "no ATT&CK technique id")
        return tuple(sorted(ids))

    def leave_out(self, what: Found, reason: str) -> None:
        """Note a value that cannot be used; the alert itself stays good."""
        if len(self.left_out) < _MOST_NOTES:
            self.left_out.append(f"{what.pointer}: {reason}")

    def problem(self, code: str, message: str, path: str, mend: str) -> None:
        """Add a problem at a field: where it stands, or where it should stand."""
        place = self._pointer + "".join(f"/{_escape(each)}" for each in path.split("."))
        pointer = next((each.pointer for each in self.find(path)), place)
        self.problems.append(Problem(code=code, message=message, pointer=pointer, mend=mend))

    def _missing(self, paths: Sequence[str], wanted: str) -> None:
        names = " or ".join(paths)
        self.problem("missing_field", f"there is no {names}", paths[0], f"Send {names}: {wanted}.")

    def _wrong(self, each: Found, wanted: str, mend: str = "") -> None:
        message = f"must be {wanted}, not {_kind(each.value)}"
        known = any(each.pointer == problem.pointer for problem in self.problems)
        if not known and len(self.problems) < _MOST_NOTES:
            self.problems.append(Problem(code="wrong_type", message=message, pointer=each.pointer, mend=mend))

    def _walk(self, value: Any, rest: tuple[str, ...], pointer: str, depth: int) -> Iterator[Found]:
        if value is None or len(self.problems) >= _MOST_NOTES:
            return
        if not rest and type(value) is str:  # what stands at the end of nearly every path
            yield Found(pointer, value)
        elif isinstance(value, list | tuple):
            if depth >= _DEEPEST:
                self._wrong(Found(pointer, value), f"an array less than {_DEEPEST} levels deep")
                return
            for at, each in enumerate(value):
                yield from self._walk(each, rest, f"{pointer}/{at}", depth + 1)
        elif not rest:
            yield Found(pointer, value)
        elif type(value) is dict or isinstance(value, Mapping):
            for key, further, place in _cuts(rest):
                if key in value:
                    yield from self._walk(value[key], further, pointer + place, depth + 1)
        else:
            self._wrong(Found(pointer, value), "an object")


@lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """A dotted path in parts, and each key of a document that it can begin with."""
    parts = tuple(path.split("."))
    return parts, frozenset(key for key, _, _ in _cuts(parts))


@lru_cache(maxsize=1024)
def _cuts(rest: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Each key that a path can begin with, longest first: the key, what is left of the path, its pointer."""
    keys = ((".".join(rest[:cut]), rest[cut:]) for cut in range(len(rest), 0, -1))
    return tuple((key, further, f"/{_escape(key)}") for key, further in keys)


def unpack(document: Any, *batches: str) -> list[tuple[str, Any]]:
    """The single alerts of a delivery, each with its pointer: a list, a batch under one of the names, or itself.

    Raises TooLarge for over 500, Invalid where a batch is not a list.
    """
    pointer, entries = "", document
    for name in batches:
        first, _, second = name.partition(".")
        if isinstance(document, Mapping) and first in document:
            inner = document[first]
            if not second:
                pointer, entries = f"/{first}", inner
                break
            if isinstance(inner, Mapping) and second in inner:
                pointer, entries = f"/{first}/{second}", inner[second]
                break
    if not pointer and not isinstance(document, list | tuple):
        return [("", document)]
    if not isinstance(entries, list | tuple):
        problem = Problem(code="wrong_type", message=f"must be a list, not {_kind(entries)}", pointer=pointer,
                          mend="Send the alerts as a JSON array.")  # fmt: skip
        raise Invalid(problems=[problem])
    if len(entries) > MOST_ALERTS:
        problem = Problem(code="too_many", message=f"{len(entries)} alerts in one delivery", pointer=pointer,
                          mend=f"Send at most {MOST_ALERTS} at a time.")  # fmt: skip
        raise TooLarge(problems=[problem])
    return [(f"{pointer}/{at}", each) for at, each in enumerate(entries)]


def refuse(problems: Sequence[Problem]) -> None:
    """Raise Invalid with the problems, if there are any."""
    if problems:
        raise Invalid(problems=problems[:_MOST_NOTES])


def _moment(value: Any) -> datetime | None:
    # The letter T tells a time from ISO 8601's dates, weeks and ordinal days, which fromisoformat takes too.
    if not isinstance(value, str) or len(value) > 40 or value[10:11] not in ("T", "t"):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    # Longer integers are no ids, and over 4,300 digits Python refuses to write them.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        return str(value)
    return value.strip() if isinstance(value, str) else None


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
