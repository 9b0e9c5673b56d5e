"""Where the parts of a playbook stand in the text that it was read from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from soar.errors import Invalid, Problem
from soar.strict_yaml import Document, at


@dataclass(frozen=True, slots=True)
class Places:
    """The document, and the JSON Pointer of each step and variable of the model in it."""

    document: Document = field(default_factory=lambda: Document(None, {}))
    steps: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_cacao(cls, workflow: Mapping[str, Any]) -> Places:
        """Places in a CACAO document, where a step stands under its id. Lines are not known there."""
        return cls(steps={step_id: f"/workflow/{step_id}" for step_id in workflow})

    def problem(self, code: str, message: str, pointer: str, mend: str = "") -> Problem:
        """A problem at a pointer; with "#key" after it, at the key that leads there."""
        line, column = at(self.document, pointer)
        pointer = pointer.removesuffix("#key")
        return Problem(code=code, message=message, pointer=pointer, line=line, column=column, mend=mend)

    def moved(self, error: Invalid, pointer: str) -> list[Problem]:
        """The problems of one value, put where the value stands."""
        return [self.problem(each.code, each.message, pointer, each.mend) for each in error.problems]


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """How to mend a misspelt word: the nearest one that is known, else what may stand there."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.65)
    if close:
        return f"Did you mean {close[0]}?"
    return otherwise or (f"Known are: {', '.join(names)}." if names else "")
