"""The rules of a good playbook, over the model: they hold whichever notation it came from.

Each rule is one function that yields problems; RULES is the list of them. What only the YAML form
can get wrong (misspelt keys, handlers, bad durations) is found where that form is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from soar.errors import Problem
from soar.playbook import check_references, check_steps
from soar.playbook.model import ActionStep, EndStep, Playbook, PlaybookActionStep, StartStep
from soar.playbook.places import Places
from soar.playbook.plain import to_plain
from soar.playbook.subject import Subject

LARGEST = 2**53 - 1

MOST_SHOWN = 10

Rule = Callable[[Subject], Iterable[Problem]]


def problems(playbook: Playbook, places: Places) -> list[Problem]:
    """Everything that is wrong with this playbook. Its pointers must lead to steps that are there."""
    subject = Subject.of(playbook, places)
    return [problem for rule in RULES for problem in rule(subject)]


def times(subject: Subject) -> Iterator[Problem]:
    """A playbook is not changed before it was made (section 3.1)."""
    playbook = subject.playbook
    if playbook.modified < playbook.created:
        message = "modified is earlier than created"
        yield subject.places.problem("bad_time", message, "/modified", "Write when this version was made.")


def loops(subject: Subject) -> Iterator[Problem]:
    """No step leads back to itself: only `while` repeats, and it is bounded."""
    circle = [subject.playbook.workflow[step_id] for step_id in subject.flow.circle]
    if circle:
        message = f"these steps go in a circle: {', '.join(step.label for step in circle[:MOST_SHOWN])}"
        yield subject.problem("step_loop", message, circle[0], mend="Repeat with a while step and a bound.")


def next_steps(subject: Subject) -> Iterator[Problem]:
    """Every step but the end says where to go after success."""
    for step in subject.playbook.workflow.values():
        if not isinstance(step, EndStep) and not (step.on_completion or step.on_success):
            yield subject.problem("no_next_step", f"{step.label} leads nowhere", step, mend="End in an end step.")
        if isinstance(step, StartStep) and (step.on_success or step.on_failure):
            yield subject.problem("bad_start", "a start step has on_completion only", step)
        if step.on_completion and (step.on_success or step.on_failure):
            message = f"{step.label} has on_completion beside on_success or on_failure"
            yield subject.problem("two_ways", message, step, mend="Keep one way.")


def unsupported(subject: Subject) -> Iterator[Problem]:
    """What no run could carry out is refused before it starts."""
    for step in subject.playbook.workflow.values():
        if isinstance(step, PlaybookActionStep):
            message = f"{step.label} runs another playbook, which is not supported yet"
            yield subject.problem("unsupported_step", message, step, "playbook", "Write its steps here.")
        elif isinstance(step, ActionStep) and not (step.soar and (step.soar.verb or step.soar.undo)):
            for command in step.commands:
                if command.get("type") != "manual":
                    message = f"{step.label} has a command of type {command.get('type')}, which is not supported yet"
                    yield subject.problem("unsupported_step", message, step, "command", "Use a verb (`do`) instead.")


def numbers(subject: Subject) -> Iterator[Problem]:
    """Every number can be hashed: RFC 8785 takes whole numbers up to 2**53 - 1 only."""
    message, mend = "a number here is too large", "Write it as text."
    for step in subject.playbook.workflow.values():
        if _too_large((to_plain(step), to_plain(step.soar))):
            yield subject.problem("number_too_large", message, step, mend=mend)
    for name, variable in subject.playbook.variables.items():
        if _too_large(variable.default):
            yield subject.places.problem("number_too_large", message, f"/variables/{name}/default", mend)


def _too_large(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_too_large, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_too_large, value))
    return isinstance(value, int) and abs(value) > LARGEST


RULES: tuple[Rule, ...] = (
    times,
    loops,
    next_steps,
    unsupported,
    numbers,
    check_steps.verbs,
    check_steps.parameters,
    check_steps.holds,
    check_steps.approvals,
    check_steps.undos,
    check_steps.whiles,
    check_steps.names,
    check_steps.defaults,
    check_steps.sources,
    check_references.conditions,
    check_references.triggers,
    check_references.templates,
    check_references.switches,
    check_references.targets,
)
