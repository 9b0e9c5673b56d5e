"""From a workflow's pointers to nested steps: the shape that a playbook has in YAML, or why it has none.

A workflow is structured when each step stands in one place: in one sequence, which is the playbook
itself, a branch, or a handler. A handler may come back to the sequence that failed, at a later step or
at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from soar.errors import Problem
from soar.playbook.model import EndStep, IfStep, ParallelStep, Playbook, Step, SwitchStep, WhileStep
from soar.playbook.yaml.outline import END

DEEPEST = 30
"""Branches in branches; a YAML file may not be nested deeper than its reader allows."""


@dataclass(slots=True, eq=False)
class Node:
    """A step, its branches by the names that the YAML form has for them, and its handler."""

    step: Step
    branches: dict[str, Chain] = field(default_factory=dict)
    handler: str = ""


@dataclass(slots=True, eq=False)
class Chain:
    """Steps one after the other, up to `end`, or to the step where it goes on (`goes_on`: its id, or END).

    `depth` counts the branches around it.
    """

    nodes: list[Node] = field(default_factory=list)
    goes_on: str = ""
    end: str = ""
    depth: int = 0


class Unfolding:
    """The nested form of one workflow. `problems` say why there is none; then the rest means nothing."""

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self.workflow = playbook.workflow
        self.problems: list[Problem] = []
        self.handlers: dict[str, Chain] = {}
        self.on_exception = ""
        self.continued: set[str] = set()
        self._placed: dict[str, Chain] = {}
        self._heads: dict[tuple[str, int], str] = {}
        self.main = self._chain(self.workflow[playbook.workflow_start].on_completion, Chain())
        self._failures(self.main)
        self._exception()

    def _refuse(self, code: str, message: str) -> None:
        self.problems.append(Problem(code=code, message=message, mend="Keep it in CACAO's JSON; it runs as it is."))

    def _label(self, step_id: str) -> str:
        return self.workflow[step_id].label

    def _chain(self, head: str, chain: Chain, stops: Chain | None = None) -> Chain:
        """Follow the pointers for success from a step on. `stops` is the sequence that a handler may come back to."""
        at = head
        while not self.problems:
            step = self.workflow.get(at)
            if step is None:
                last = chain.nodes[-1].step.label if chain.nodes else "the start"
                self._refuse("no_next_step", f"after {last} there is no step")
            elif isinstance(step, EndStep):
                chain.end = at
                break
            elif at in self._placed:
                if stops is None or self._placed[at] is not stops:
                    self._refuse("not_nested", f"{step.label} is reached on several ways, so that it has no one place")
                chain.goes_on = at
                break
            else:
                node = Node(step)
                chain.nodes.append(node)
                self._placed[at] = chain
                at = step.on_success or step.on_completion
        for node in chain.nodes:
            self._branches(node, chain.depth)
        return chain

    def _branches(self, node: Node, depth: int) -> None:
        for name, head in _heads(node.step):
            if self.problems:
                return
            if depth >= DEEPEST:
                self._refuse("too_deep", f"{node.step.label} stands in more than {DEEPEST} branches")
            else:
                node.branches[name] = self._chain(head, Chain(depth=depth + 1))

    # --- failures ------------------------------------------------------------------------------

    def _failures(self, chain: Chain) -> None:
        """Give each step that says where a failure goes a handler."""
        for index, node in enumerate(chain.nodes):
            for branch in node.branches.values():
                self._failures(branch)
            if node.step.on_failure and not self.problems:
                node.handler = self._handler(node.step.on_failure, chain, index)

    def _handler(self, head: str, chain: Chain, index: int) -> str:
        """The name of the handler that begins at this step, for a failure in this sequence."""
        step, later = self.workflow.get(head), [node.step.id for node in chain.nodes[index + 1 :]]
        place = id(chain) if head in later or isinstance(step, EndStep) else 0
        known = self._heads.get((head, place))
        if known:
            return known
        handler = Chain(depth=chain.depth + 1)
        if handler.depth > DEEPEST:
            self._refuse("too_deep", f"{chain.nodes[index].step.label} is a handler of a handler, and so on too often")
            return ""
        if head in later or isinstance(step, EndStep):
            name = self._name("continue")
            handler.goes_on = head if head in later else END
        elif step is None or head in self._placed:
            label = step.label if step else head
            message = f"a failure of {chain.nodes[index].step.label} leads to {label}, which does not come later there"
            self._refuse("not_nested", message)
            return ""
        else:
            name = self._name(_named(step))
            self._chain(head, handler, stops=chain)
            if handler.goes_on and handler.goes_on not in later:
                message = f"a failure of {chain.nodes[index].step.label} leads back to {self._label(handler.goes_on)}"
                self._refuse("not_nested", message)
            elif not handler.goes_on and (handler.end == chain.end or not self._fails(handler)):
                handler.goes_on = END
        self._heads[head, place] = name
        self.handlers[name] = handler
        if handler.goes_on not in ("", END):
            self.continued.add(handler.goes_on)
        self._failures(handler)
        return name

    def _fails(self, handler: Chain) -> bool:
        end = self.workflow.get(handler.end)
        return bool(end and end.soar and end.soar.ends == "failed")

    def _exception(self) -> None:
        head = self.playbook.workflow_exception
        step = self.workflow.get(head)
        if self.problems or step is None or isinstance(step, EndStep):
            return  # an end is where an unhandled failure comes to anyway
        known = self._heads.get((head, 0))
        if known is None and head in self._placed:
            self._refuse("not_nested", f"workflow_exception leads to {step.label}, which stands elsewhere")
            return
        self.on_exception = known or self._name(_named(step))
        if known is None:
            self.handlers[self.on_exception] = handler = self._chain(head, Chain(depth=1))
            self._failures(handler)
        elif self.handlers[known].goes_on:
            self._refuse("not_nested", f"workflow_exception leads to {step.label}, which goes on elsewhere")

    def _name(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.handlers:
            count += 1
            name = f"{wanted}-{count}"
        return name


def _named(step: Step) -> str:
    """The name that a handler had in YAML, as its first step's path tells it."""
    parts = step.soar.path.split("/") if step.soar else []
    return parts[1] if len(parts) > 2 and parts[0] == "handlers" else "failure"


def _heads(step: Step) -> Iterator[tuple[str, str]]:
    """Name and first step of each branch."""
    match step:
        case IfStep():
            yield "then", step.on_true
            if step.on_false:
                yield "else", step.on_false
        case WhileStep():
            yield "steps", step.on_true
        case ParallelStep():
            yield from ((str(index), head) for index, head in enumerate(step.next_steps))
        case SwitchStep():
            yield from step.cases.items()
