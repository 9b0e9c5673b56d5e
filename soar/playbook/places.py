"""Where the parts of a playbook stand in the text that it was read from."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from soar.errors import Invalid, Problem
from soar.playbook.document import EXTENSION
from soar.strict_text import LONGEST_POINTER, escaped
from soar.strict_yaml import Document, at

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
_STEP = re.compile(r"(/workflow/[^/#]+)/([^/#]+)")
_IN_CACAO: Mapping[str, str] = {
    "if": "condition", "while": "condition", "command": "commands", "playbook": "playbook_id",
    "parallel": "next_steps", "in": "in_args", "out": "out_args", "variables": "step_variables",
    "do": f"step_extensions/{EXTENSION}/verb", "id": f"step_extensions/{EXTENSION}/slug",
    "as": f"step_extensions/{EXTENSION}/loop_variable", "partial": f"step_extensions/{EXTENSION}/partial_ok",
}  # fmt: skip
"""Keys of a step in YAML whose names differ in CACAO."""


@dataclass(frozen=True, slots=True)
class Places:
    """The document, and the JSON Pointer of each step and variable of the model in it.

    Rules name places by the keys of the YAML form; `cacao` says that the document is in the other one.
    """

    document: Document = field(default_factory=lambda: Document(None, {}))
    steps: Mapping[str, str] = field(default_factory=dict)
    cacao: bool = False

    @classmethod
    def of_cacao(cls, workflow: Mapping[str, Any], text: str = "") -> Places:
        """Places in a CACAO document, where a step stands under its id. Lines are known where its text is given.

        The text must be good JSON.
        """
        steps = {step_id: f"/workflow/{escaped(step_id)}" for step_id in workflow}
        return cls(Document(None, _JsonPlaces(text)), steps, cacao=True)

    def problem(self, code: str, message: str, pointer: str, mend: str = "") -> Problem:
        """A problem at a pointer; with "#key" after it, at the key that leads there."""
        pointer = self._in_cacao(pointer) if self.cacao else pointer
        line, column = at(self.document, pointer)
        pointer = pointer.removesuffix("#key")
        return Problem(code=code, message=message, pointer=pointer, line=line, column=column, mend=mend)

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems that name a pointer, with line and column too."""
        found = []
        for each in problems:
            line, column = at(self.document, each.pointer)
            found.append(replace(each, line=line, column=column))
        return found

    def moved(self, error: Invalid, pointer: str) -> list[Problem]:
        """The problems of one value, put where the value stands."""
        return [self.problem(each.code, each.message, pointer, each.mend) for each in error.problems]

    def _in_cacao(self, pointer: str) -> str:
        """The place in a CACAO document that a place in the YAML form means."""
        if pointer in self.document.places or not self.document.places:
            return pointer
        first, *rest = pointer.removesuffix("#key").split("/")[1:] or [""]
        wanted = pointer
        if first == "variables" and rest:
            wanted = "/".join([f"/playbook_variables/__{rest[0]}__", *["value" for _ in rest[1:2]]])
        elif first in ("triggers", "schedules"):
            wanted = f"/playbook_extensions/{EXTENSION}{pointer.removesuffix('#key')}"
        elif found := _STEP.match(pointer):
            ours = f"{found[1]}/step_extensions/{EXTENSION}/{found[2]}"
            step = f"{found[1]}/{_IN_CACAO[found[2]]}" if found[2] in _IN_CACAO else ours
            wanted = step + pointer.removesuffix("#key")[found.end() :]
        while wanted and wanted not in self.document.places:
            wanted = wanted.rpartition("/")[0]
        return wanted


def json_places(text: str) -> dict[str, tuple[int, int]]:
    """Line and column of each value in good JSON by its JSON Pointer, and of each name with "#key" behind it.

    Pointers over 512 characters are left out, with all that is below them.
    """
    places: dict[str, tuple[int, int]] = {}
    stack: list[_Open] = []
    line, begins, last = 1, 0, 0
    for found in _TOKEN.finditer(text):
        if breaks := text.count("\n", last, found.start()):
            line, begins = line + breaks, text.rfind("\n", 0, found.start()) + 1
        last = found.start()
        where, said, inner = (line, last - begins + 1), found.group(), stack[-1] if stack else None
        if said in "]}":
            stack.pop()
        elif said in ":,":
            if inner and said == ",":
                inner.key = inner.key + 1 if isinstance(inner.key, int) else None
        elif inner and inner.key is None:
            inner.key = escaped(json.loads(said))
            if inner.child is not None:
                places[f"{inner.child}#key"] = where
        else:
            pointer = inner.child if inner else ""
            if pointer is not None:
                places[pointer] = where
            if said in "[{":
                stack.append(_Open(pointer, 0 if said == "[" else None))
    return places


class _JsonPlaces(Mapping[str, tuple[int, int]]):
    """json_places of a text, found when somebody asks: a good playbook needs none of them."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _found(self) -> dict[str, tuple[int, int]]:
        return json_places(self._text)

    def __getitem__(self, pointer: str) -> tuple[int, int]:
        return self._found[pointer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(slots=True)
class _Open:
    """An array or object that is being read: its pointer, and the index or name of its member at hand."""

    pointer: str | None
    key: int | str | None

    @property
    def child(self) -> str | None:
        known = None if self.pointer is None else f"{self.pointer}/{self.key}"
        return known if known is not None and len(known) <= LONGEST_POINTER else None


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """How to mend a misspelt word: the nearest one that is known, else what may stand there."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.65)
    if close:
        return f"Did you mean {close[0]}?"
    return otherwise or (f"Known are: {', '.join(names)}." if names else "")
