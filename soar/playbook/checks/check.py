"""The rules of a good playbook, over the model: they hold whichever notation it came from.

Each rule is one function that yields problems; RULES is the list of them. Which code is how grave, and
what it means, stands in soar.playbook.checks.codes. What only the YAML form can get wrong (misspelt keys,
handlers, bad durations) is found where that form is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from itertools import islice
from typing import Any

from soar.errors import Problem
from soar.playbook.checks import (
    check_commands,
    check_definitions,
    check_graph,
    check_order,
    check_references,
    check_sense,
    check_steps,
    check_variables,
)
from soar.playbook.checks.codes import Severity
from soar.playbook.checks.remarks import Remark, remarked
from soar.playbook.checks.subject import Subject
from soar.playbook.model import Playbook
from soar.playbook.places import Places
from soar.playbook.values import LARGEST

MOST = 500
"""Problems after which nobody looks for more: a file that is all mistakes must not take all day."""

Rule = Callable[[Subject], Iterable[Problem]]


def problems(playbook: Playbook, places: Places, noted: Iterable[Problem] = ()) -> list[Problem]:
    """The errors alone: a playbook that has any is refused."""
    return [each for each in remarks(playbook, places, noted) if each.severity is Severity.ERROR]


def remarks(
    playbook: Playbook, places: Places, noted: Iterable[Problem] = (), *, able: Collection[str] | None = None
) -> list[Remark]:
    """Everything that can be said of this playbook, each once, in the order of the text.

    `noted` is what its reader found already. `able` are the verbs that configured adapters can do;
    without it nobody asks whether somebody can.
    """
    noted = list(islice(noted, MOST))
    subject = Subject.of(playbook, places, able)
    found = list(islice((problem for rule in RULES for problem in rule(subject)), MOST + 1))
    if len(found) > MOST:
        message = f"there are more than {MOST} problems; these are the first"
        found[MOST] = places.problem("too_many_problems", message, "", "Mend these, and check again.")
    if noted:
        # What could not be read leaves gaps, and the gaps are no second mistake.
        gaps = {around for problem in noted for around in _around(problem.pointer)}
        found = [each for each in found if each.code not in check_graph.STRUCTURAL and each.pointer not in gaps]
    return remarked([*noted, *found], places.steps, playbook.workflow)


def _around(pointer: str) -> Iterator[str]:
    """A place, and those around it."""
    while pointer:
        yield pointer
        pointer = pointer.rpartition("/")[0]


def numbers(subject: Subject) -> Iterator[Problem]:
    """Every number can be hashed: RFC 8785 takes whole numbers up to 2**53 - 1 only."""
    message, mend = "a number here is too large", "Write it as text."
    playbook = subject.playbook
    for step in playbook.workflow.values():
        if _too_large(step):
            yield subject.problem("number_too_large", message, step, mend=mend)
    for name, variable in playbook.variables.items():
        if _too_large(variable.default):
            yield subject.places.problem("number_too_large", message, f"/variables/{name}/default", mend)
    for name in playbook.__dataclass_fields__:
        if name not in ("workflow", "variables") and _too_large(getattr(playbook, name)):
            yield subject.places.problem("number_too_large", message, f"/{name}", mend)


def _too_large(value: Any) -> bool:
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            continue
        if isinstance(each, int):
            if abs(each) > LARGEST:
                return True
        elif isinstance(each, Mapping):
            todo += each.values()
        elif isinstance(each, list | tuple):
            todo += each
        elif is_dataclass(each):
            todo += [getattr(each, name) for name in each.__dataclass_fields__]
    return False


RULES: tuple[Rule, ...] = (
    check_graph.dangling,
    check_graph.starts,
    check_graph.endings,
    check_graph.loops,
    check_graph.unreachable,
    check_graph.branches,
    check_graph.openers,
    check_graph.called,
    numbers,
    check_references.expressions,
    check_definitions.ids,
    check_definitions.times,
    check_definitions.lengths,
    check_definitions.words,
    check_definitions.definitions,
    check_definitions.used,
    check_definitions.custom,
    check_definitions.secrets,
    check_commands.commands,
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
    check_variables.comparisons,
    check_variables.loops,
    check_variables.arguments,
    check_variables.texts,
    check_variables.unread,
    check_sense.timed,
    check_sense.consent,
    check_sense.combinations,
    check_sense.timetable,
    check_sense.adapters,
    check_order.order,
)
