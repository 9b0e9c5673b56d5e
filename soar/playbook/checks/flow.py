"""How a run can move through a playbook: circles, branches and what belongs to them, what may run before what.

Two graphs. Forward: a step leads to the steps that follow it and to the heads of its branches; this
one must have no circle. With returns: the end of a branch leads on to what follows its opener.
Pointers to steps that are not there are passed over; a rule names them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from soar.playbook.model import EndStep, Playbook, Step, WhileStep

DEEPEST = 64
"""How deep branches may stand in one another; the YAML form cannot be deeper either."""

MOST_TANGLES = 100
"""Places where branches lead into one another; from here on nobody asks for more."""


@dataclass(slots=True, eq=False)
class Region:
    """The steps of one branch, of the main sequence (no opener), or of a handler."""

    opener: str = ""
    around: Region | None = None
    handler: str = ""
    depth: int = 0
    steps: list[str] = field(default_factory=list)
    leads: set[Region] = field(default_factory=set)


class Tangle(NamedTuple):
    """A step leads into steps that another region owns. `outward`: into those around its own branch."""

    source: str
    target: str
    outward: bool


class Flow:
    """The paths of one playbook.

    `circle` are steps that lead back to themselves; `unreached` those that no path comes to; `tangles`
    are branches that lead into others. All are empty where all is well.
    """

    def __init__(self, playbook: Playbook) -> None:
        self.workflow = playbook.workflow
        self.exception = playbook.workflow_exception
        self.following = {key: self._known(step.following) for key, step in self.workflow.items()}
        self.heads = {key: self._known(step.heads) for key, step in self.workflow.items() if step.heads}
        self.owner: dict[str, Region] = {}
        self.branches: dict[str, dict[str, Region]] = {}
        self.tangles: list[Tangle] = []
        self._own(playbook)
        self.unreached = [key for key in self.workflow if key not in self.owner]
        forward = self._edges({})
        self.circle = _circle(forward, sorted_by(forward)[1])
        slugs = [step.soar.slug for step in self.workflow.values() if step.soar and step.soar.slug]
        self._bit = {slug: 1 << index for index, slug in enumerate(slugs)}
        self._before = self._masks() if slugs else {}

    def may_precede(self, slug: str, step: Step, *, condition: bool = False) -> bool:
        """Whether the named step can have run when this one begins; for a `while`, when it is asked again."""
        seen = self._before.get(step.id, 0)
        if condition and isinstance(step, WhileStep):
            for end in self.ends(step.id):
                seen |= self._before[end]
        return bool(seen & self._bit.get(slug, 0))

    def ends(self, opener: str) -> Iterator[str]:
        """The ends of the branches that a step opens, those of the handlers of these branches too."""
        seen = set(self.branches.get(opener, {}).values())
        todo = list(seen)
        while todo:
            region = todo.pop()
            yield from (step for step in region.steps if isinstance(self.workflow[step], EndStep))
            if len(self.tangles) < MOST_TANGLES:
                todo += region.leads - seen
                seen |= region.leads

    def inside(self, opener: str) -> Iterator[str]:
        """The steps in the branches that a step opens, however deep."""
        todo = [opener]
        while todo:
            for region in self.branches.get(todo.pop(), {}).values():
                yield from region.steps
                todo += [step for step in region.steps if step in self.branches]

    def openers(self, step_id: str) -> Iterator[str]:
        """The openers around a step, the innermost first; none around a handler, and no more than may be."""
        region = self.owner.get(step_id)
        for _ in range(DEEPEST):
            if region is None or not region.opener:
                return
            yield region.opener
            region = region.around

    def _known(self, targets: Iterable[str]) -> list[str]:
        return [target for target in dict.fromkeys(targets) if target in self.workflow]

    # --- which step belongs to which branch ----------------------------------------------------

    def _own(self, playbook: Playbook) -> None:
        """Give each step to the first region that comes to it, the outer ones first."""
        handlers: dict[str, Region] = {}
        roots = self._known(filter(None, (playbook.workflow_start, playbook.workflow_exception)))
        pending: deque[tuple[Region, list[str]]] = deque([(Region(), roots)])
        while pending:
            region, heads = pending.popleft()
            todo = [("", head) for head in reversed(heads)]
            while todo:
                source, step_id = todo.pop()
                handler = _handler(self.workflow[step_id])
                if handler != region.handler and handler:
                    other = handlers.setdefault(handler, Region(handler=handler))
                    region.leads.add(other)
                    if step_id not in self.owner:
                        pending.append((other, [step_id]))
                elif step_id not in self.owner:
                    self.owner[step_id] = region
                    region.steps.append(step_id)
                    todo += [(step_id, each) for each in reversed(self.following[step_id])]
                    pending += self._opened(step_id, region)
                elif self.owner[step_id] is not region:
                    self._tangled(source or region.opener, region, step_id)

    def _opened(self, opener: str, around: Region) -> Iterator[tuple[Region, list[str]]]:
        """The regions of the branches that a step opens."""
        for head in self.heads.get(opener, ()):
            region = Region(opener=opener, around=around, depth=around.depth + 1)
            self.branches.setdefault(opener, {})[head] = region
            yield region, [head]

    def _tangled(self, source: str, region: Region, target: str) -> None:
        other = self.owner[target]
        region.leads.add(other)
        if region.handler or len(self.tangles) >= MOST_TANGLES:
            return  # a handler may continue in the sequence that it was entered from
        outer = region.around
        while outer is not None and outer is not other:
            outer = outer.around
        self.tangles.append(Tangle(source, target, outer is other))

    # --- what may run before what --------------------------------------------------------------

    def _edges(self, returns: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Where each step leads: to what follows it, to the heads of its branches, and where a branch returns to."""
        return {key: [*self.following[key], *self.heads.get(key, ()), *returns.get(key, ())] for key in self.workflow}

    def _masks(self) -> Mapping[str, int]:
        """For each step the set of named steps that may have run before, as bits; grown until it is stable."""
        before: dict[str, int] = defaultdict(int)
        after_each = self._edges(self._returns())
        order = [step_id for part in sorted_by(after_each) for step_id in part]
        grew = True
        while grew:
            grew = False
            for step_id in order:
                step = self.workflow[step_id]
                here = before[step_id] | self._bit.get(step.soar.slug if step.soar else "", 0)
                for after in after_each[step_id]:
                    if here & ~before[after]:
                        before[after] |= here
                        grew = True
        return before

    def _returns(self) -> Mapping[str, set[str]]:
        """Where the end of a branch leads: to what follows its opener, and to the last resort."""
        returns: dict[str, set[str]] = defaultdict(set)
        for opener in self.branches:
            step = self.workflow[opener]
            for end in self.ends(opener):
                failed = ends_failed(self.workflow[end])
                targets = (step.on_failure, step.on_completion) if failed else step.following
                returns[end].update(self._known(filter(None, targets)))
        if self.exception in self.workflow:
            for step in self.workflow.values():
                if isinstance(step, EndStep):
                    returns[step.id].add(self.exception)
        return returns


def ends_failed(end: Step) -> bool:
    """Whether a branch that comes to this end has failed."""
    return bool(end.soar and end.soar.ends == "failed")


def sorted_by(edges: Mapping[str, Iterable[str]]) -> tuple[list[str], list[str]]:
    """Nodes with those that lead to them first, and the nodes that stand in a circle or behind one."""
    waiting: dict[str, int] = dict.fromkeys(edges, 0)
    for targets in edges.values():
        for after in targets:
            waiting[after] += 1
    order: list[str] = []
    ready = [node for node, count in waiting.items() if not count]
    while ready:
        node = ready.pop()
        order.append(node)
        for after in edges[node]:
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
    done = set(order)
    return order, [node for node in edges if node not in done]


def _handler(step: Step) -> str:
    """The name of the handler that a step belongs to."""
    path = step.soar.path if step.soar else ""
    return path.split("/")[1] if path.startswith("handlers/") and path.count("/") == 2 else ""


def _circle(edges: Mapping[str, Iterable[str]], rest: list[str]) -> list[str]:
    """One circle among steps of which each has another one before it."""
    if not rest:
        return []
    before: dict[str, str] = {}
    among = set(rest)
    for step_id in rest:
        before.update((after, step_id) for after in edges[step_id] if after in among)
    path, seen = [rest[0]], {rest[0]}
    while (previous := before[path[-1]]) not in seen:
        path.append(previous)
        seen.add(previous)
    circle = path[path.index(previous) :][::-1]
    return [circle[-1], *circle[:-1]]
