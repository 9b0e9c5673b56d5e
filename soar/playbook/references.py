"""`$name`, `$step.output`, `$item.key`: how a playbook's values point at what is known when it runs.

`$$` is a literal `$`. A `$` that no name follows is just a `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

SLUG = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)
"""Names of playbooks, steps and variables: small letters, digits, single - and _ between them."""

LONGEST_SLUG = 64

PATTERN = re.compile(r"\$(?:(?P<literal>\$)|(?P<path>[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*(?:\.\w+(?:-\w+)*)*))", re.ASCII)
_VARIABLE = re.compile(r"__[A-Za-z0-9_-]+__:value", re.ASCII)
_SPELLED = re.compile(r"__(?P<path>[a-z][a-z0-9]*(?:[-_]{1,2}[a-z0-9]+)*)__:value", re.ASCII)
_INDEXED = re.compile(PATTERN.pattern + r"\[[0-9*]*\]", re.ASCII)


class Reference(NamedTuple):
    """One reference: the name, the keys after it, and the place of the text that holds it.

    `whole` says that the text is nothing but this reference, so that its type is kept;
    `indexed` that an index stands behind it.
    """

    name: str
    keys: tuple[str, ...]
    pointer: str
    whole: bool
    indexed: bool

    def __str__(self) -> str:
        return "$" + ".".join((self.name, *self.keys))


def is_slug(text: str) -> bool:
    """Whether this may be the name of something in a playbook."""
    return len(text) <= LONGEST_SLUG and SLUG.fullmatch(text) is not None


def whole(text: str) -> tuple[str, ...] | None:
    """The path of a text that is one reference and nothing else; None for other texts."""
    found = PATTERN.fullmatch(text)
    return tuple(found["path"].split(".")) if found and found["path"] else None


def is_variable(text: str) -> bool:
    """Whether this is one variable as CACAO writes it, `__name__:value`, and nothing else."""
    return _VARIABLE.fullmatch(text) is not None


def references(template: Any, pointer: str = "") -> Iterator[Reference]:
    """Every reference in a template (text, list, mapping), with JSON Pointers below `pointer`."""
    if isinstance(template, Mapping):
        for key, value in template.items():
            yield from references(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(template, list | tuple):
        for index, value in enumerate(template):
            yield from references(value, f"{pointer}/{index}")
    elif isinstance(template, str):
        for found in PATTERN.finditer(template):
            if found["path"]:
                name, *keys = found["path"].split(".")
                indexed = _INDEXED.match(template, found.start()) is not None
                yield Reference(name, tuple(keys), pointer, found.span() == (0, len(template)), indexed)


def in_cacao(text: str) -> str:
    """Text for foreign engines: `$name` becomes `__name__:value`, `$step.output` `__step__output__:value`."""

    def spelled(found: re.Match[str]) -> str:
        return f"__{found['path'].replace('.', '__')}__:value" if found["path"] else "$"

    return PATTERN.sub(spelled, text)


def in_yaml(text: str) -> str:
    """The reverse of in_cacao, as far as names are ours; the short form is for people, and means the same."""
    return _SPELLED.sub(lambda found: "$" + found["path"].replace("__", "."), text)
