"""What the steps of a playbook are called in a rehearsal: by their id, else by their path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from soar.playbook.model import EndStep, Playbook, StartStep, Step


def step_names(playbook: Playbook) -> Mapping[str, str]:
    """The name of each step, by its CACAO id, in the order in which a reader meets them. Starts and ends have none.

    A step without an `id:` is called by its path (`handlers/call/1-notify`), one of a foreign playbook by its
    name; where two would be called the same, both are called by their CACAO ids.
    """
    steps = [step for step in _in_order(playbook) if not isinstance(step, StartStep | EndStep)]
    called = Counter(_name(step) for step in steps)
    return {step.id: _name(step) if called[_name(step)] == 1 else step.id for step in steps}


def _in_order(playbook: Playbook) -> Iterator[Step]:
    """A step, then what stands in it, then what follows it; handlers after that; at the end what nothing leads to."""
    seen: set[str] = set()
    todo = [*reversed(list(playbook.workflow)), playbook.workflow_exception, playbook.workflow_start]
    while todo:
        step_id = todo.pop()
        if step_id in seen or step_id not in playbook.workflow:
            continue
        seen.add(step_id)
        step = playbook.workflow[step_id]
        yield step
        todo += [step.on_failure, step.on_completion, step.on_success, *reversed(step.heads)]


def _name(step: Step) -> str:
    return (step.soar.slug if step.soar else "") or step.label
