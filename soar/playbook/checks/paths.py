"""What holds on every path to a step: facts that steps bring about, carried along the graph. Pure and linear.

A fact is a bit. A step that succeeds adds its bits and takes away those that it makes untrue; one that
fails adds none. Where paths meet, only what all of them bring is kept; after a parallel what any of its
branches brings, for all of them ran. (Forward must-analysis over the graph with returns; dominance is
the special case of one fact for one step.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from soar.playbook.checks.flow import Flow, ends_failed, sorted_by
from soar.playbook.model import EndStep, IfStep, ParallelStep, Step, SwitchStep, WhileStep

ALL = -1
"""Every fact: what holds on no path at all holds on every one."""


class Change(NamedTuple):
    """The bits that a step adds when it succeeds, and those that it takes away."""

    adds: int = 0
    takes: int = 0


def facts_before(flow: Flow, changes: Mapping[str, Change]) -> Mapping[str, int] | None:
    """For each step the facts that hold whenever it begins; None for a graph whose branches are not their own."""
    if flow.tangles or flow.circle:
        return None
    order, rest = sorted_by(_edges(flow))
    return None if rest else _Carried(flow, changes).along(order)


def _close(opener: str) -> str:
    """The node at which the branches of an opener have ended."""
    return f"close {opener}"


def _edges(flow: Flow) -> dict[str, list[str]]:
    edges: dict[str, list[str]] = {}
    for step_id, following in flow.following.items():
        if step_id in flow.branches:
            edges[step_id] = [*flow.heads[step_id], _close(step_id)]
            edges[_close(step_id)] = list(following)
        else:
            edges[step_id] = list(following)
    for opener in flow.branches:
        for branch in _good_ends(flow, opener):
            for end in branch:
                edges[end].append(_close(opener))
    return edges


def _good_ends(flow: Flow, opener: str) -> Iterator[list[str]]:
    """Of each branch the ends at which it has succeeded."""
    for region in flow.branches[opener].values():
        steps = ((step, flow.workflow[step]) for step in region.steps)
        yield [step_id for step_id, step in steps if isinstance(step, EndStep) and not ends_failed(step)]


class _Carried:
    """The analysis under way. `before` is what holds at each step, as far as its paths were seen."""

    def __init__(self, flow: Flow, changes: Mapping[str, Change]) -> None:
        self.flow = flow
        self.changes = changes
        self.before: dict[str, int] = dict.fromkeys(flow.workflow, ALL)

    def along(self, order: list[str]) -> Mapping[str, int]:
        for step in self.flow.workflow.values():
            if step.type == "start":
                self.before[step.id] = 0
        if self.flow.exception in self.before:
            self.before[self.flow.exception] = 0
        for node in order:
            if node in self.flow.workflow:
                self._leave(self.flow.workflow[node])
            else:
                self._closed(self.flow.workflow[node.removeprefix("close ")])
        return self.before

    def _leave(self, step: Step) -> None:
        here, change = self.before[step.id], self.changes.get(step.id, Change())
        if step.id in self.flow.branches:
            for head in self.flow.heads[step.id]:
                self._bring(head, here & ~change.takes | change.adds)
        else:
            self._go_on(step, here & ~change.takes | change.adds, here & ~change.takes)

    def _closed(self, step: Step) -> None:
        """An opener whose branches have ended. Its failure may have come before any of them did anything."""
        change = self.changes.get(step.id, Change())
        opened = self.before[step.id] & ~change.takes
        brought = [self._all(ends) for ends in _good_ends(self.flow, step.id)]
        if isinstance(step, ParallelStep):
            good = _together(opened, brought)
        else:
            passed_by = (
                isinstance(step, WhileStep)
                or (isinstance(step, IfStep) and not step.on_false)
                or (isinstance(step, SwitchStep) and "default" not in step.cases)
            )
            good = opened if passed_by or not brought else ALL
            for each in brought:
                good &= each
        self._go_on(step, good | change.adds, opened)

    def _all(self, ends: list[str]) -> int:
        held = ALL
        for end in ends:
            held &= self.before[end]
        return held

    def _go_on(self, step: Step, good: int, bad: int) -> None:
        if step.on_success:
            self._bring(step.on_success, good)
        if step.on_failure:
            self._bring(step.on_failure, bad)
        if step.on_completion:
            self._bring(step.on_completion, good & bad)

    def _bring(self, step_id: str, held: int) -> None:
        if step_id in self.before:
            self.before[step_id] &= held


def _together(opened: int, branches: list[int]) -> int:
    """After a parallel: what any branch brought, and what none of them made untrue."""
    kept, brought = opened, 0
    for each in branches:
        kept &= each
        brought |= each
    return kept | (brought & ~opened)
