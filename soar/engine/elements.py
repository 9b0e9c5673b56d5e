"""What the elements of a run's list inputs must be: known from where the playbook uses them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from soar.errors import Problem
from soar.playbook.checks.check_steps import fits
from soar.playbook.model import Playbook, Variable
from soar.playbook.references import whole
from soar.verbs import VERBS


def problems(playbook: Playbook, values: Mapping[str, Any]) -> list[Problem]:
    """Every element of a list that is null, or not of the type that a step wants of it.

    A step says so where it takes the list apart (`for_each: $hosts`, `as: host`) and gives an element
    whole to a parameter (`host: $host`). `pointer` is `/name/index`.
    """
    wanted = dict(_wanted(playbook))
    found = []
    for name, value in values.items():
        if name not in playbook.variables or playbook.variables[name].type != "list":
            continue
        kind = Variable(type=wanted.get(name, "any"))
        for index, element in enumerate(value):
            if element is None or not fits(kind, element):
                said = f"an element of {name} must be {kind.type}, not {type(element).__name__}"
                said = said if element is not None else f"an element of {name} is null"
                found.append(Problem(code="wrong_type", message=said, pointer=f"/{name}/{index}"))
    return found


def _wanted(playbook: Playbook) -> Iterator[tuple[str, str]]:
    """Names of lists, each with the type that a parameter wants of its elements."""
    for step in playbook.workflow.values():
        soar = step.soar
        if soar is None or soar.verb not in VERBS or not isinstance(soar.for_each, str):
            continue
        source = whole(soar.for_each)
        for name, template in soar.with_.items():
            spec = VERBS[soar.verb].params.get(name)
            if source and spec and isinstance(template, str) and whole(template) == (soar.as_ or "item",):
                yield source[0], spec.type
