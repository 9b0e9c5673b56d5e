"""The way that a rehearsed run took, as steps in their order; branches of a parallel stand side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from soar.engine.run_state import Branch
from soar.playbook.model import ParallelStep, Playbook
from soar.rehearsal.model import Entry, SideBySide, Way
from soar.rehearsal.stage import Played


@dataclass(slots=True)
class _Open:
    """A parallel whose branches are being filled."""

    opener: str
    branches: dict[int, list[Entry | _Open]] = field(default_factory=dict)


class Line(NamedTuple):
    """One step of a way, in one line. `depth` says in which branches it stands, as `1| 0| `."""

    depth: str
    entry: Entry

    def __str__(self) -> str:
        calls = self.entry.calls
        said = f": {', '.join(calls) or 'no call'}" if calls is not None else ""
        return f"{self.depth}{self.entry.step}{said}"


def way_of(playbook: Playbook, played: Played) -> Way:
    """What was performed, with the calls of each step."""
    return way(
        (Entry(each.name, tuple(call for _, call in each.calls)), _around(playbook, played, each.todo.branch))
        for each in played.performed
    )


def way(performed: Iterable[tuple[Entry, Sequence[tuple[str, int]]]]) -> Way:
    """Entries in the order in which they came, each with the parallels around it: name, and number of the branch."""
    root: list[Entry | _Open] = []
    for entry, around in performed:
        here = root
        for opener, index in around:
            last = here[-1] if here else None
            if not isinstance(last, _Open) or last.opener != opener:
                last = _Open(opener)
                here.append(last)
            here = last.branches.setdefault(index, [])
        here.append(entry)
    return _closed(root)


def lines(steps: Way, depth: str = "") -> Iterator[Line]:
    """A way line by line."""
    for each in steps:
        if isinstance(each, Entry):
            yield Line(depth, each)
        else:
            for index, branch in enumerate(each.branches):
                yield from lines(branch, f"{depth}{index}| ")


def plain(steps: Way) -> list[object]:
    """A way as a rehearsal writes it."""
    return [
        [plain(branch) for branch in each.branches]
        if isinstance(each, SideBySide)
        else (each.step if each.calls is None else {each.step: list(each.calls)})
        for each in steps
    ]


def _around(playbook: Playbook, played: Played, branch: str) -> list[tuple[str, int]]:
    """The parallels around a branch, the outermost first, each with the number of the branch in it."""
    branches: Mapping[str, Branch] = played.state.branches
    found = []
    while branch:
        opener = branches[branch].opener
        visit = played.state.steps[opener]
        if isinstance(playbook.workflow[visit.step_id], ParallelStep):
            found.append((opener, int(branch.rpartition("/")[2])))
        branch = visit.branch
    return found[::-1]


def _closed(items: list[Entry | _Open]) -> Way:
    return tuple(
        SideBySide(tuple(_closed(each.branches.get(index, [])) for index in range(max(each.branches) + 1)))
        if isinstance(each, _Open)
        else each
        for each in items
    )
