"""Which ways of a playbook its rehearsals have walked, and which never."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from soar.engine.conductor import ACTION_TIMEOUT
from soar.engine.routes import turns_at_most
from soar.engine.run_state import Occurrence, RunState
from soar.playbook.model import (
    ActionStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Step,
    SwitchStep,
    WhileStep,
)
from soar.rehearsal.outcomes import asks_person

EXCEPTION = "on_exception"
_TURNS = ("no turn", "one turn", "several turns")


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One way out of a step: `succeeds`, `fails`, `times out`, `then`, `case server`, `one turn`, ..."""

    step: str
    how: str

    def __str__(self) -> str:
        return f"{self.step}: {self.how}" if self.step else self.how


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every way of a playbook, and those that were walked."""

    edges: tuple[Edge, ...]
    walked: frozenset[Edge]

    @property
    def missed(self) -> tuple[Edge, ...]:
        """In the order of the playbook."""
        return tuple(edge for edge in self.edges if edge not in self.walked)

    @property
    def per_cent(self) -> float:
        """Never rounded up: 100 is all of them."""
        return int(1000 * len(self.walked) / len(self.edges)) / 10 if self.edges else 100.0


def coverage(playbook: Playbook, names: Mapping[str, str], ends: Iterable[RunState]) -> Coverage:
    """What these ended runs of one playbook have walked together."""
    edges = tuple(_edges(playbook, names))
    walked = {edge for state in ends for edge in _walked(playbook, names, state)}
    return Coverage(edges, frozenset(walked & set(edges)))


def _edges(playbook: Playbook, names: Mapping[str, str]) -> Iterator[Edge]:
    """A way that leads nowhere (a failure that nothing takes up) is none; `on_exception` is one for all of those."""
    for step_id, name in names.items():
        step = playbook.workflow[step_id]
        for how in _ways(step):
            yield Edge(name, how)
    if playbook.workflow_exception:
        yield Edge("", EXCEPTION)


def _ways(step: Step) -> Iterator[str]:
    match step:
        case IfStep():
            yield from ("then", "else")
        case SwitchStep():
            yield from (_case(name) for name in step.cases)
            if "default" not in step.cases:
                yield _case("default")
        case WhileStep():
            yield from _TURNS if turns_at_most(step) > 1 else _TURNS[:2]
        case ParallelStep():
            yield from (f"branch {index}" for index in range(len(step.next_steps)))
        case ActionStep() | PlaybookActionStep():
            yield "succeeds"
    if step.on_failure or step.on_completion:
        if not asks_person(step):  # nobody can fail to answer but by being late
            yield "fails"
        if step.timeout:
            yield "times out"


def _case(name: str) -> str:
    return f"case {name}" if name != "default" else "no case fits"


def _walked(playbook: Playbook, names: Mapping[str, str], state: RunState) -> Iterator[Edge]:
    opened: dict[str, list[str]] = {}
    for branch in state.branches.values():
        if branch.opener:
            opened.setdefault(branch.opener, []).append(branch.id[len(branch.opener) + 1 :])
    for visit in state.steps.values():
        step = playbook.workflow[visit.step_id]
        for how in _taken(step, visit, opened.get(visit.id, [])):
            yield Edge(names[step.id], how)
    if state.excepting:
        yield Edge("", EXCEPTION)


def _taken(step: Step, visit: Occurrence, opened: list[str]) -> Iterator[str]:
    tolerant = bool(step.soar and step.soar.partial_ok)
    good = visit.status in ("succeeded", "skipped") or (visit.status == "partial" and tolerant)
    match step:
        case IfStep() if opened or good:
            yield "then" if "then" in opened else "else"
        case SwitchStep() if opened or good:
            names = {quote(name, safe=""): name for name in step.cases}
            yield from (_case(names[each]) for each in opened)
            if not opened:
                yield _case("default")
        case WhileStep() if opened or good:
            yield _TURNS[min(len(opened), 2)]
        case ParallelStep():
            yield from (f"branch {each}" for each in opened)
        case ActionStep() | PlaybookActionStep() if good:
            yield "succeeds"
    if visit.status in ("failed", "partial") and not good:
        yield "times out" if visit.reason == ACTION_TIMEOUT else "fails"
