"""The shape of a playbook: sequences, branches in them, and what stands beside them for failures.

CACAO's steps point at one another (Security Playbooks 2.0, section 4). Where every branch comes to an end of
its own, these pointers are a tree of sequences, which people read and compare far more easily than a graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from soar.playbook.model import EndStep, IfStep, ParallelStep, Playbook, StartStep, Step, SwitchStep, WhileStep

DEEPEST = 40
"""Branches inside branches; what is deeper is treated as a graph."""


@dataclass(slots=True)
class Chain:
    """Steps one after the other. `end` is the end step that closes it, "" where none does.

    `goes_on` is the step, standing elsewhere, at which the failure path continues.
    """

    parts: list[Part] = field(default_factory=list)
    end: str = ""
    goes_on: str = ""


@dataclass(slots=True)
class Part:
    """A step with the branches that it opens. `on_failure` is the first step of what follows its failure."""

    step: Step
    branches: list[Branch] = field(default_factory=list)
    on_failure: str = ""


@dataclass(slots=True)
class Branch:
    """One way out of an opener: `name` as the conductor calls it (`then`, `0`, a case)."""

    name: str
    chain: Chain


@dataclass(slots=True)
class Structure:
    """A whole playbook. `sides` are the failure paths by their first step, `exception` is the last resort.

    `exception_at` names the step, standing elsewhere, that the last resort is. `lost` are sequences that
    nothing leads to.
    """

    main: Chain
    sides: dict[str, Chain] = field(default_factory=dict)
    exception: Chain | None = None
    exception_at: str = ""
    lost: list[Chain] = field(default_factory=list)


def structure(playbook: Playbook) -> Structure | None:
    """The shape of a playbook whose pointers lead to steps that are there; None where it has none.

    It has none where two ways lead to one step, where steps go in a circle, and where branches are nested
    deeper than DEEPEST.
    """
    try:
        return _Builder(playbook).whole()
    except _NoStructureError:
        return None


def branch_heads(step: Step) -> list[tuple[str, str]]:
    """Name and first step of each branch that a step can open, in the order of the playbook."""
    match step:
        case IfStep():
            return [("then", step.on_true), *([("else", step.on_false)] if step.on_false else [])]
        case WhileStep():
            return [("steps", step.on_true)]
        case SwitchStep():
            ordered = sorted(step.cases.items(), key=lambda case: (case[0] == "default", case[0]))
            return list(ordered)
        case ParallelStep():
            return [(str(index), head) for index, head in enumerate(step.next_steps)]
    return []


def next_of(step: Step) -> str:
    """Where a branch goes on when all is well."""
    return step.on_success or step.on_completion


def parts_of(chain: Chain) -> Iterator[Part]:
    """Every part of a sequence and of the branches in it, from above."""
    for part in chain.parts:
        yield part
        for branch in part.branches:
            yield from parts_of(branch.chain)


class _NoStructureError(Exception):
    """Two ways lead to one step."""


class _Builder:
    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self.workflow = playbook.workflow
        self.placed: set[str] = set()
        self.failing: deque[str] = deque()

    def whole(self) -> Structure:
        found = Structure(self._chain(self.playbook.workflow_start, 0, beside=False))
        if head := self.playbook.workflow_exception:
            if head in self.placed:
                found.exception_at = head
            else:
                found.exception = self._chain(head, 0, beside=True)
        self._sides(found)
        led_to = {each for step in self.workflow.values() for each in (*step.following, *step.heads)}
        for only_heads in (True, False):
            for step_id, step in self.workflow.items():
                lost = step_id not in self.placed and not isinstance(step, EndStep)
                if lost and not (only_heads and step_id in led_to):
                    found.lost.append(self._chain(step_id, 0, beside=True))
                    self._sides(found)
        return found

    def _sides(self, found: Structure) -> None:
        """Place the failure paths that were met and stand nowhere yet."""
        while self.failing:
            head = self.failing.popleft()
            if head not in self.placed and not isinstance(self.workflow[head], EndStep):
                found.sides[head] = self._chain(head, 0, beside=True)

    def _chain(self, step_id: str, depth: int, *, beside: bool) -> Chain:
        """From this step to an end. `beside`: it may run into a step that stands elsewhere."""
        if depth > DEEPEST:
            raise _NoStructureError
        chain = Chain()
        while step_id:
            step = self.workflow[step_id]
            if isinstance(step, EndStep):
                chain.end = step_id
                break
            if step_id in self.placed:
                if not beside or step_id in {part.step.id for part in chain.parts}:
                    raise _NoStructureError
                chain.goes_on = step_id
                break
            self.placed.add(step_id)
            chain.parts.append(self._part(step, depth))
            step_id = next_of(step)
        if chain.parts and isinstance(chain.parts[0].step, StartStep):
            chain.parts.pop(0)
        return chain

    def _part(self, step: Step, depth: int) -> Part:
        heads = branch_heads(step)
        branches = [Branch(name, self._chain(head, depth + 1, beside=False)) for name, head in heads]
        if step.on_failure:
            self.failing.append(step.on_failure)
        return Part(step, branches, step.on_failure)
