"""How a run can move through a playbook: loops in it, and which steps may have run before which.

Two graphs. Forward: a step leads to the steps that follow it and to the heads of its branches; this
one must have no circle. With returns: the end of a branch leads on to what follows its opener.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from soar.playbook.model import EndStep, Playbook, Step, WhileStep


class Flow:
    """The paths of one playbook. `circle` are steps that lead back to themselves; empty where all is well."""

    def __init__(self, playbook: Playbook) -> None:
        self.workflow = playbook.workflow
        slugs = [step.soar.slug for step in playbook.workflow.values() if step.soar and step.soar.slug]
        self._bit = {slug: 1 << index for index, slug in enumerate(slugs)}
        order, rest = _ordered(playbook.workflow)
        self.circle = _circle(playbook.workflow, rest)
        self._ends = {step.id: _ends(playbook.workflow, step) for step in playbook.workflow.values() if step.heads}
        self._before = self._masks(order, playbook.workflow_exception)

    def may_precede(self, slug: str, step: Step, *, condition: bool = False) -> bool:
        """Whether the named step can have run when this one begins; for a `while`, when it is asked again."""
        seen = self._before.get(step.id, 0)
        if condition and isinstance(step, WhileStep):
            for end in self._ends[step.id]:
                seen |= self._before[end]
        return bool(seen & self._bit.get(slug, 0))

    def _masks(self, order: Iterable[str], exception: str) -> Mapping[str, int]:
        """For each step the set of named steps that may have run before, as bits; grown until it is stable."""
        before: dict[str, int] = defaultdict(int)
        returns = self._returns(exception)
        grew = True
        while grew:
            grew = False
            for step_id in order:
                step = self.workflow[step_id]
                here = before[step_id] | self._bit.get(step.soar.slug if step.soar else "", 0)
                for after in (*step.following, *step.heads, *returns[step_id]):
                    if here & ~before[after]:
                        before[after] |= here
                        grew = True
        return before

    def _returns(self, exception: str) -> Mapping[str, set[str]]:
        """Where the end of a branch leads: to what follows its opener, and to the last resort."""
        returns: dict[str, set[str]] = defaultdict(set)
        for opener, ends in self._ends.items():
            step = self.workflow[opener]
            for end in ends:
                ended = self.workflow[end].soar
                failed = bool(ended and ended.ends == "failed")
                returns[end].update(filter(None, (step.on_failure, step.on_completion) if failed else step.following))
        if exception:
            for step in self.workflow.values():
                if isinstance(step, EndStep):
                    returns[step.id].add(exception)
        return returns


def _ordered(workflow: Mapping[str, Step]) -> tuple[list[str], list[str]]:
    """Steps with those that lead to them first, and the steps that stand in a circle or behind one."""
    waiting: dict[str, int] = dict.fromkeys(workflow, 0)
    for step in workflow.values():
        for after in (*step.following, *step.heads):
            waiting[after] += 1
    order: list[str] = []
    ready = [step_id for step_id, count in waiting.items() if not count]
    while ready:
        step_id = ready.pop()
        order.append(step_id)
        step = workflow[step_id]
        for after in (*step.following, *step.heads):
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
    done = set(order)
    rest = [step_id for step_id in workflow if step_id not in done]
    return order + rest, rest


def _circle(workflow: Mapping[str, Step], rest: list[str]) -> list[str]:
    """One circle among steps of which each has another one before it."""
    if not rest:
        return []
    before: dict[str, str] = {}
    among = set(rest)
    for step_id in rest:
        step = workflow[step_id]
        before.update((after, step_id) for after in (*step.following, *step.heads) if after in among)
    path = [rest[0]]
    while path.count(path[-1]) == 1:
        path.append(before[path[-1]])
    return path[path.index(path[-1]) + 1 :][::-1]


def _ends(workflow: Mapping[str, Step], opener: Step) -> set[str]:
    """The ends of the branches that a step opens."""
    seen: set[str] = set()
    todo = list(opener.heads)
    while todo:
        step_id = todo.pop()
        if step_id not in seen:
            seen.add(step_id)
            todo += workflow[step_id].following
    return {step_id for step_id in seen if isinstance(workflow[step_id], EndStep)}
