"""What a verification finds: problems gathered while it goes on, and counts of what was checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from soar.errors import Invalid, Problem


@dataclass(slots=True)
class Findings:
    """Problems so far, and how many of what were checked."""

    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, message: str, pointer: str) -> None:
        self.problems.append(Problem(code=code, message=message, pointer=pointer))

    def count(self, what: str, number: int = 1) -> None:
        self.checked[what] = self.checked.get(what, 0) + number

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Where a check cannot go on, keep its problems and let the others go on."""
        try:
            yield
        except Invalid as error:
            self.problems += error.problems

    def ordered(self) -> tuple[Problem, ...]:
        """Each problem once, by file, with nothing in it that a terminal would obey."""
        once = {_printable(each) for each in self.problems}
        return tuple(sorted(once, key=lambda each: (each.pointer, each.code, each.line or 0, each.message)))


@contextmanager
def pointing(pointer: str) -> Iterator[None]:
    """Give the problems raised inside the file that they concern."""
    try:
        yield
    except Invalid as error:
        placed = [replace(each, pointer=pointer) for each in error.problems]
        raise type(error)(error.message, placed) from error


def _printable(problem: Problem) -> Problem:
    return replace(problem, message=_escaped(problem.message), pointer=_escaped(problem.pointer))


def _escaped(text: str) -> str:
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:500])
    return shown if len(text) <= 500 else f"{shown}..."
