"""Reads typed parts out of a mapping that people wrote; every misfit is noted, and reading goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from soar.errors import Invalid, Problem
from soar.playbook import durations
from soar.playbook.durations import Seconds
from soar.playbook.places import Places, nearest
from soar.playbook.references import is_slug, whole
from soar.playbook.yaml.grammar import Part
from soar.strict_text import escaped, shown

_KINDS: dict[type, str] = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:\d{3})?Z", re.ASCII)


class Reader:
    """Collects the problems of one document."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.problems: list[Problem] = []

    def note(self, code: str, message: str, pointer: str, mend: str = "") -> None:
        self.problems.append(self.places.problem(code, message, pointer, mend))

    def mapping(self, value: Any, pointer: str, what: str) -> Mapping[str, Any] | None:
        """The value as a mapping; noted and None when it is none."""
        if isinstance(value, dict):
            return value
        self.note("wrong_type", f"{what} must be a mapping, not {_said(value)}", pointer)
        return None

    def known_keys(self, data: Mapping[str, Any], allowed: Collection[str], pointer: str, what: str) -> None:
        for key in data:
            if key not in allowed:
                mend = nearest(key, allowed)
                at = f"{pointer}/{escaped(key)}#key"
                self.note("unknown_key", f"{what} has no {shown(key)}", at, mend)

    def take(
        self, data: Mapping[str, Any], key: str, pointer: str, kind: type, default: Any, *, need: bool = False
    ) -> Any:
        """data[key] if it has this type, else the default."""
        if key not in data:
            if need:
                self.note("missing_key", f"{key} is missing", pointer, f"Add {key}: {_KINDS[kind]}.")
            return default
        value = data[key]
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        self.note("wrong_type", f"{key} must be {_KINDS[kind]}, not {_said(value)}", f"{pointer}/{key}")
        return default

    def text(self, data: Mapping[str, Any], key: str, pointer: str, default: str = "", *, need: bool = False) -> str:
        value: str = self.take(data, key, pointer, str, default, need=need)
        if data.get(key) == "":
            self.note("empty", f"{key} is empty", f"{pointer}/{key}", "Write something, or leave it out.")
        return value

    def flag(self, data: Mapping[str, Any], key: str, pointer: str, *, default: bool = False) -> bool:
        return bool(self.take(data, key, pointer, bool, default))

    def number(self, data: Mapping[str, Any], key: str, pointer: str, default: int, least: int, most: int) -> int:
        value: int = self.take(data, key, pointer, int, default)
        if key in data and not least <= value <= most:
            self.note("out_of_range", f"{key} must lie between {least} and {most}", f"{pointer}/{key}")
            return default
        return value

    def word(self, data: Mapping[str, Any], key: str, pointer: str, words: Collection[str], default: str = "") -> str:
        value: str = self.take(data, key, pointer, str, default)
        if key in data and value != default and value not in words:
            mend = nearest(value, words)
            self.note("unknown_word", f"{key} may not be {shown(value)}", f"{pointer}/{key}", mend)
        return value

    def part(
        self, table: Mapping[str, Part], data: Mapping[str, Any], key: str, pointer: str, default: Any = ""
    ) -> Any:
        """data[key] as a table of the grammar describes it, else the default."""
        read: _Read = _PARTS.get(table[key].kind, _text)
        return read(self, table[key], data, key, pointer, default)

    def words(self, data: Mapping[str, Any], key: str, pointer: str, known: Collection[str] = ()) -> tuple[str, ...]:
        """A list of texts, from a vocabulary where one is given."""
        found = []
        for index, value in enumerate(self.take(data, key, pointer, list, [])):
            at = f"{pointer}/{key}/{index}"
            if not isinstance(value, str) or not value:
                self.note("wrong_type", f"{key} holds texts, not {_said(value)}", at)
            elif known and value not in known:
                self.note("unknown_word", f"{key} may not hold {shown(value)}", at, nearest(value, known))
            else:
                found.append(value)
        return tuple(found)

    def mappings(self, data: Mapping[str, Any], key: str, pointer: str) -> list[Mapping[str, Any]]:
        """A list of mappings, as they are."""
        said = enumerate(self.take(data, key, pointer, list, []))
        found = [self.mapping(each, f"{pointer}/{key}/{index}", f"an entry of {key}") for index, each in said]
        return [each for each in found if each is not None]

    def milliseconds(self, data: Mapping[str, Any], key: str, pointer: str) -> int:
        """A duration as CACAO counts it; 0 when it is not there. A misfit reads as a second, so that no rule
        complains that there is none.
        """
        if key not in data:
            return 0
        try:
            return durations.milliseconds(data[key])
        except Invalid as error:
            self.problems += self.places.moved(error, f"{pointer}/{key}")
            return 1_000

    def seconds(self, data: Mapping[str, Any], key: str, pointer: str) -> Seconds:
        return durations.in_seconds(self.milliseconds(data, key, pointer))

    def seconds_or_reference(self, data: Mapping[str, Any], key: str, pointer: str) -> Seconds | str:
        value = data.get(key)
        return value if isinstance(value, str) and whole(value) else self.seconds(data, key, pointer)

    def slug(self, data: Mapping[str, Any], key: str, pointer: str, *, need: bool = False) -> str:
        value = self.text(data, key, pointer, need=need)
        if value and not is_slug(value):
            mend = "Use small letters and digits, with single - or _ between them, at most 64, a letter first."
            self.note("bad_name", f"{shown(value)} is no name", f"{pointer}/{key}", mend)
            return ""
        return value

    def time(self, data: Mapping[str, Any], key: str, pointer: str, default: str) -> str:
        value = self.text(data, key, pointer, default)
        if key in data and value and not _TIME.fullmatch(value):
            mend = "Write UTC with milliseconds, as in 2026-11-23T09:00:00.000Z."
            self.note("bad_time", f"{shown(value)} is no time", f"{pointer}/{key}", mend)
            return default
        return value

    def named(self, data: Mapping[str, Any], key: str, pointer: str, what: str) -> Iterator[tuple[str, Any, str]]:
        """Name, value and pointer of each entry of a mapping whose keys are names."""
        for name, value in self.take(data, key, pointer, dict, {}).items():
            at = f"{pointer}/{key}/{escaped(name)}"
            if is_slug(name):
                yield name, value, at
            else:
                mend = "Use small letters and digits, with single - or _ between them, at most 64, a letter first."
                self.note("bad_name", f"{shown(name)} is no name of a {what}", f"{at}#key", mend)


def _said(value: Any) -> str:
    if value is None:
        return "nothing"
    return _KINDS.get(type(value), f"the {type(value).__name__} {value!r}"[:40])


def _text(reader: Reader, part: Part, data: Mapping[str, Any], key: str, pointer: str, default: Any) -> str:
    return reader.text(data, key, pointer, default, need=part.need)


def _number(reader: Reader, part: Part, data: Mapping[str, Any], key: str, pointer: str, default: Any) -> int:
    if part.need:
        reader.take(data, key, pointer, int, 0, need=True)
    return reader.number(data, key, pointer, default or part.least, part.least, part.most)


_Read = Callable[[Reader, Part, Mapping[str, Any], str, str, Any], Any]
_PARTS: Mapping[str, _Read] = {
    "milliseconds": lambda reader, _, data, key, at, __: reader.milliseconds(data, key, at),
    "seconds": lambda reader, _, data, key, at, __: reader.seconds(data, key, at),
    "length": lambda reader, _, data, key, at, __: reader.seconds_or_reference(data, key, at),
    "time": lambda reader, _, data, key, at, default: reader.time(data, key, at, default),
    "slug": lambda reader, part, data, key, at, _: reader.slug(data, key, at, need=part.need),
    "flag": lambda reader, _, data, key, at, default: reader.flag(data, key, at, default=bool(default)),
    "number": _number,
    "word": lambda reader, part, data, key, at, default: reader.word(data, key, at, part.words, default),
    "words": lambda reader, part, data, key, at, _: reader.words(data, key, at, part.words),
    "texts": lambda reader, _, data, key, at, __: reader.words(data, key, at),
    "list": lambda reader, _, data, key, at, __: reader.mappings(data, key, at),
    "dict": lambda reader, _, data, key, at, __: reader.take(data, key, at, dict, {}),
}
"""How each kind of part is read; what is not here is text."""
