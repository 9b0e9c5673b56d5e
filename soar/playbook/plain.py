"""Frozen dataclasses to plain data and back. The fields are the only description of the form.

A field's name in the document is its own, or the one that its metadata gives under "key". What
equals its default is left out; with metadata "inside" false the field is never part of the form.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from soar.errors import Problem
from soar.strict_text import escaped, shown

T = TypeVar("T")
_ATOMS = frozenset({str, int, float, bool, type(None)})
_WORDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", Mapping: "an object", tuple: "a list",
}  # fmt: skip


def to_plain(value: Any) -> Any:
    """Plain data of a value: dataclasses and mappings as dict, tuples as list."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if dataclasses.is_dataclass(kind):
        return {
            key: each if type(each) in _ATOMS else to_plain(each)
            for key, name, default in _parts(kind)
            if (each := getattr(value, name)) != default
        }
    if isinstance(value, Mapping):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    return value


def from_plain(cls: type[T], data: Any, pointer: str, problems: list[Problem], **given: Any) -> T | None:
    """Read a dataclass from plain data; None when a problem was found. All problems are noted.

    `given` are values of fields that stand outside of this object, such as its id.
    """
    if not isinstance(data, Mapping):
        problems.append(_wrong(Mapping, data, pointer))
        return None
    before = len(problems)
    values: dict[str, Any] = dict(given)
    form: Any = cls
    known = {key: (field, hint) for key, field, hint in _form(form)}
    for name, raw in data.items():
        at = f"{pointer}/{escaped(str(name))}"
        if name not in known:
            problems.append(
                Problem(code="unknown_property", message=f"{shown(str(name))} is not known here", pointer=at)
            )
            continue
        field, hint = known[name]
        values[field.name] = _read(hint, raw, at, problems)
    for key, (field, _) in known.items():
        if field.name not in values and _default(field) is dataclasses.MISSING:
            message = f"{key} is missing"
            problems.append(Problem(code="missing_property", message=message, pointer=pointer, mend=f"Add {key}."))
    return cls(**values) if len(problems) == before else None


@lru_cache(maxsize=128)
def _parts(cls: Hashable) -> tuple[tuple[str, str, Any], ...]:
    """Key in the document, name and default of each part of a dataclass."""
    return tuple((key, field.name, _default(field)) for key, field, _ in _form(cls))


@lru_cache(maxsize=128)
def _form(cls: Hashable) -> tuple[tuple[str, dataclasses.Field[Any], Any], ...]:
    """Key in the document, field and type of each part of a dataclass."""
    hints = typing.get_type_hints(cls)
    return tuple(
        (field.metadata.get("key", field.name), field, hints[field.name])
        for field in dataclasses.fields(typing.cast("type[Any]", cls))
        if field.metadata.get("inside", True)
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _wrong(wanted: Any, raw: Any, pointer: str) -> Problem:
    message = f"this must be {_WORDS.get(wanted, wanted)}, not {type(raw).__name__}"
    return Problem(code="wrong_type", message=message, pointer=pointer)


def _read(hint: Any, raw: Any, pointer: str, problems: list[Problem]) -> Any:
    """A value as its type hint wants it; a misfit is noted and returned as it is."""
    wanted, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if wanted in (types.UnionType, typing.Union):
        return _one_of(args, raw, pointer, problems)
    if dataclasses.is_dataclass(wanted):
        return from_plain(typing.cast("type[Any]", wanted), raw, pointer, problems)
    if wanted is typing.Literal and raw not in args:
        said = f"{shown(str(raw))} is not one of {', '.join(map(str, args))}"
        problems.append(Problem(code="unknown_word", message=said, pointer=pointer))
    elif wanted not in (Any, typing.Literal):
        return _typed(wanted, args, raw, pointer, problems)
    return raw


def _typed(wanted: Any, args: tuple[Any, ...], raw: Any, pointer: str, problems: list[Problem]) -> Any:
    """A text, number, truth value, list or object."""
    python: Any = (list, tuple) if wanted is tuple else wanted
    if not isinstance(raw, python) or (isinstance(raw, bool) and wanted is not bool):
        problems.append(_wrong(wanted, raw, pointer))
        return raw
    if wanted is Mapping:
        return {key: _read(args[1], each, f"{pointer}/{escaped(str(key))}", problems) for key, each in raw.items()}
    if wanted is tuple:
        return tuple(_read(args[0], each, f"{pointer}/{index}", problems) for index, each in enumerate(raw))
    return raw


def _one_of(args: tuple[Any, ...], raw: Any, pointer: str, problems: list[Problem]) -> Any:
    """The first alternative that fits; the last one's problems where none does."""
    found: list[Problem] = []
    for hint in args:
        if hint is type(None):
            if raw is None:
                return None
            continue
        found = []
        value = _read(hint, raw, pointer, found)
        if not found:
            return value
    problems.extend(found)
    return raw
