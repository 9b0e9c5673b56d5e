"""Which way a run goes: kinds of steps, conditions, names of visits and of branches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from soar.engine.run_state import RunState
from soar.engine.signals import Perform, PerformKind
from soar.errors import Invalid
from soar.expressions import parse
from soar.playbook.model import (
    DEFAULT_TURNS,
    ActionStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Step,
    SwitchStep,
    WhileStep,
)

Choice = tuple[str, str]
"""A branch to open: its name and its first step. Two empty texts: there is nothing to do."""

NOTHING: Choice = ("", "")


def kind_of(step: ActionStep | PlaybookActionStep) -> PerformKind:
    """Who performs this step, and how."""
    if isinstance(step, PlaybookActionStep):
        return "playbook"
    if step.soar and step.soar.undo:
        return "undo"
    if step.soar and step.soar.verb:
        return "action"
    by_hand = bool(step.commands) and all(command.get("type") == "manual" for command in step.commands)
    return "manual" if by_hand or (step.soar and step.soar.manual) else "action"


def performs(step: Step) -> bool:
    """It is performed, and its end is told; other steps only lead on."""
    return isinstance(step, ActionStep | PlaybookActionStep)


def visit_name(branch: str, step: Step) -> str:
    """The id of the first visit of a step in a branch: the branch, and the last part of the step's path.

    A handler is shared by the branches that enter it, so its steps keep their whole path.
    """
    parts = step.soar.path.split("/") if step.soar and step.soar.path else [step.id]
    local = "/".join(parts) if parts[0] == "handlers" and len(parts) == 3 else parts[-1]
    return f"{branch}/{local}" if branch else local


def in_handler(step: Step) -> bool:
    """The step belongs to a handler, and answers a failure that came before it."""
    return bool(step.soar and step.soar.path.startswith("handlers/"))


def visits(first: str) -> Iterator[str]:
    """The ids of the first, second, third ... visit."""
    yield first
    count = 2
    while True:
        yield f"{first}#{count}"
        count += 1


def answer(step: Step, facts: Mapping[str, Any]) -> bool | str | None:
    """What a condition or switch says, given the facts; None when it cannot be read and a person decides."""
    if isinstance(step, SwitchStep):
        return _case(step, facts.get("variables", {}))
    if isinstance(step, IfStep | WhileStep):
        try:
            return parse(step.condition).evaluate(facts)
        except Invalid:
            return None
    return None


def choice(step: Step, said: Any, turn: int) -> Choice | None:
    """The branch that an answer opens; None when the answer makes no sense here."""
    if isinstance(step, SwitchStep):
        name = _text(said)
        name = name if name in step.cases else "default"
        if name not in step.cases:
            return NOTHING
        return quote(name, safe=""), step.cases[name]
    truth = {"true": True, "false": False}.get(_text(said).lower())
    if isinstance(step, IfStep) and truth is not None:
        if truth:
            return "then", step.on_true
        return ("else", step.on_false) if step.on_false else NOTHING
    if isinstance(step, WhileStep) and truth is not None:
        return (str(turn), step.on_true) if truth else NOTHING
    return None


def members(playbook: Playbook, state: RunState, occurrence: str) -> list[Perform]:
    """The actions inside a parallel that it reaches without any decision, as they will be performed.

    Those of nested parallels are among them, those inside of if, while and switch are not. A member
    may want an output of an earlier one, which nobody can know yet. Their attempt is the parallel's:
    where it was called off and is tried again, everything in it is planned anew.
    """
    found: list[Perform] = []
    opener = state.steps[occurrence]
    todo = branches_of(opener.id, playbook.workflow[opener.step_id])
    while todo:
        branch, step_id = todo.pop(0)
        seen: set[str] = set()
        while step_id and step_id not in seen:
            seen.add(step_id)
            step = playbook.workflow[step_id]
            name = visit_name(branch, step)
            if isinstance(step, ActionStep) and (kind := kind_of(step)) == "action":
                found.append(
                    Perform(occurrence=name, branch=branch, step_id=step_id, attempt=opener.attempt, kind=kind)
                )
            if isinstance(step, ParallelStep):
                todo += branches_of(name, step)
            step_id = step.on_success or step.on_completion
    return found


def branches_of(opener: str, step: Step) -> list[tuple[str, str]]:
    """The branches of a parallel: id and first step."""
    return [(f"{opener}/{index}", head) for index, head in enumerate(step.heads)]


def turns_at_most(step: Step) -> int:
    """The bound of a loop."""
    return (step.soar.max if step.soar else 0) or DEFAULT_TURNS


def _case(step: SwitchStep, variables: Mapping[str, Any]) -> str | None:
    """The value that a switch looks at, as text; empty where it is missing."""
    name = step.switch.removesuffix(":value")
    if not (name.startswith("__") and name.endswith("__") and len(name) > 4):
        return None
    name = name[2:-2]
    if name in variables:
        return _text(variables[name])
    value: Any = variables
    for key in name.split("__"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return "" if value is None else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
