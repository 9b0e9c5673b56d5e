"""Variables of a playbook and of its steps: which value a name has at a place, and what a step's end writes. Pure.

A step's own variables are seen by it and by what its branches hold; the innermost one of a name counts
(CACAO 2.0, sections 4.1 and 10.18). `out_args` write to it; a constant is never written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from soar import strict_json
from soar.engine.run_state import Occurrence
from soar.errors import Invalid, Problem
from soar.playbook.document import TEXT_TYPES
from soar.playbook.model import ActionStep, Playbook, PlaybookActionStep, Step
from soar.playbook.vocabulary import bare_name, our_type

RESULT = "result"
"""The output of a command that has no names for what it brings."""
_JSON: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "long": (int,), "float": (int, float), "bool": (bool,), "list": (list, tuple), "dict": (dict,),
}  # fmt: skip


def around(steps: Mapping[str, Occurrence], place: str) -> Iterator[Occurrence]:
    """The visit at a place, then those of the steps whose branches it stands in, from the inside outwards."""
    while place:
        if place in steps:
            yield steps[place]
        place = place.rpartition("/")[0]


def seen_at(variables: Mapping[str, Any], steps: Mapping[str, Occurrence], place: str) -> dict[str, Any]:
    """The value of every variable that is seen there."""
    values = dict(variables)
    for visit in reversed(list(around(steps, place))):
        values.update(visit.variables)
    return values


def own(step: Step) -> dict[str, Any]:
    """The values with which a step's own variables begin; raises Invalid for one that is not of its type."""
    return {
        bare_name(name): typed(our_type(raw.get("type", "")), raw["value"], bare_name(name))
        for name, raw in step.step_variables.items()
        if raw.get("value") is not None
    }


def typed(kind: str, value: Any, name: str) -> Any:
    """A value in a variable's type: CACAO writes every value as text. Raises Invalid where it is none of the type."""
    wanted = _JSON.get(kind)
    if wanted is None:
        return json.dumps(value, sort_keys=True) if kind in TEXT_TYPES and not isinstance(value, str) else value
    if isinstance(value, str):
        try:
            value = strict_json.parse(value)
        except Invalid:
            raise _misfit(name, kind) from None
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise _misfit(name, kind)
    return value


def write(
    playbook: Playbook,
    step: Step,
    place: str,
    outputs: Mapping[str, Any],
    variables: MutableMapping[str, Any],
    steps: MutableMapping[str, Occurrence],
) -> None:
    """Give the step's `out_args` their new values. Raises Invalid, and writes nothing, where one cannot have one."""
    if not isinstance(step, ActionStep | PlaybookActionStep):
        return
    names = [name for name in map(bare_name, step.out_args) if not _output_of(step, name)]
    for name, value in [(name, _brought(name, names, outputs)) for name in names]:
        for visit in around(steps, place):
            declared = _declared(playbook.workflow[visit.step_id], name)
            if declared is not None:
                said = _allowed(name, our_type(declared.get("type", "")), bool(declared.get("constant")), value)
                steps[visit.id] = replace(visit, variables={**visit.variables, name: said})
                break
        else:
            variable = playbook.variables.get(name)
            if variable is None:
                raise _refused("undefined_variable", f"out_args names {name}, which is no variable here")
            variables[name] = _allowed(name, variable.type, variable.constant, value)


def _output_of(step: Step, name: str) -> bool:
    """It stands for an output of this very step (`__scan__files__`), which is kept with the step."""
    slug = step.soar.slug if step.soar else ""
    return bool(slug) and name.startswith(f"{slug}__")


def _brought(name: str, names: list[str], outputs: Mapping[str, Any]) -> Any:
    """What a step brought for one of its out_args."""
    result = outputs.get(RESULT)
    if name in outputs:
        return outputs[name]
    if isinstance(result, Mapping) and name in result:
        return result[name]
    if RESULT in outputs and names == [name]:
        return result
    raise _refused("missing_output", f"out_args names {name}, and the step brought no such thing")


def _declared(step: Step, name: str) -> Mapping[str, Any] | None:
    for key, raw in step.step_variables.items():
        if bare_name(key) == name:
            declared: Mapping[str, Any] = raw
            return declared
    return None


def _allowed(name: str, kind: str, constant: bool, value: Any) -> Any:
    if constant:
        raise _refused("constant", f"out_args names {name}, which is a constant")
    return typed(kind, value, name)


def _misfit(name: str, kind: str) -> Invalid:
    return _refused("wrong_type", f"{name} must be {kind}, and what came is none")


def _refused(code: str, message: str) -> Invalid:
    return Invalid(message, [Problem(code=code, message=message)])
