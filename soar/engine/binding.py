"""Values for a step: variables, outputs of earlier steps, and templates filled with them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soar.engine import elements, scopes
from soar.engine.run_state import RunState
from soar.errors import Invalid, Problem
from soar.playbook import durations
from soar.playbook.checks.check_steps import fits
from soar.playbook.model import Playbook, Soar, Variable
from soar.playbook.places import nearest
from soar.playbook.references import PATTERN, whole
from soar.strict_text import escaped


def variables_at(playbook: Playbook, state: RunState, occurrence: str) -> dict[str, Any]:
    """Everything that `$name` and `$step.output` mean at an occurrence, be it there already or not.

    Of several visits of a step the latest one counts, one in a branch around the occurrence before
    one elsewhere.
    """
    values = scopes.seen_at(state.variables, state.steps, occurrence)
    near: dict[str, Any] = {}
    for visit in state.steps.values():
        soar = playbook.workflow[visit.step_id].soar
        if soar is None or not soar.slug or visit.open or visit.asked or not visit.outputs:
            continue
        around = not visit.branch or occurrence.startswith(f"{visit.branch}/")
        (near if around else values)[soar.slug] = dict(visit.outputs)
    return {**values, **near}


def bind(template: Any, variables: Mapping[str, Any]) -> Any:
    """The template with its references replaced. A text that is one reference keeps the value's type.

    Raises Invalid that names every reference without a value.
    """
    missing: list[str] = []
    bound = _bind(template, variables, missing)
    if missing:
        names = sorted(set(missing))
        raise Invalid(
            problems=[
                Problem(
                    code="missing_value", message=f"{name} has no value here", mend=nearest(name[1:], variables, " ")
                )
                for name in names
            ]
        )
    return bound


def turns(soar: Soar, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variables of each turn of a step: one for each element of its for_each, else one.

    An element that comes again is left out, since a target is acted upon once. Raises Invalid when
    there is no value, or when it is no list.
    """
    if not soar.for_each:
        return [dict(variables)]
    items = bind(soar.for_each, variables)
    if not isinstance(items, Sequence) or isinstance(items, str):
        message = f"for_each wants a list, {soar.for_each} is {type(items).__name__}"
        raise Invalid(problems=[Problem(code="wrong_type", message=message)])
    unique: list[Any] = []
    seen: set[str] = set()
    for item in items:
        if repr(item) not in seen:
            seen.add(repr(item))
            unique.append(item)
    return [{**variables, soar.as_ or "item": item} for item in unique]


def initial_inputs(playbook: Playbook, scope: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a run begins with.

    In this order: what was given, what `from` finds in `scope` (`{"alert": ..., "incident": ...,
    "scope": ...}`), the default. Durations become seconds. Raises Invalid with every problem: a required
    value that is missing or empty (an external one is required too, CACAO 2.0, section 10.18), a wrong type, of a
    list's element too, another value for a constant, a name that the playbook does not know.
    """
    problems = [
        Problem(
            code="unknown_variable", message=f"the playbook has no variable {name}", pointer=f"/{escaped(name)}",
            mend=nearest(name, playbook.variables),
        )
        for name in given
        if name not in playbook.variables
    ]  # fmt: skip
    problems += [
        Problem(code="constant", message=f"{name} is a constant", pointer=f"/{escaped(name)}", mend="Leave it out.")
        for name, value in given.items()
        if name in playbook.variables and playbook.variables[name].constant
        and value != playbook.variables[name].default
    ]  # fmt: skip
    values: dict[str, Any] = {}
    for name, variable in playbook.variables.items():
        value = given.get(name)
        if value is None:
            value = _found(scope, variable.from_)
        if value is None:
            value = variable.default
        if value is None and variable.type == "list" and not variable.required:
            value = []
        required = variable.required or (variable.external and not playbook.slug)  # ours say `required` themselves
        if required and value in (None, "", [], {}, ()):
            source = f" ({variable.from_} is empty)" if variable.from_ else ""
            message = f"{name} needs a value{source}"
            problems.append(Problem(code="missing_value", message=message, pointer=f"/{name}", mend=f"Give {name}."))
        elif value is not None:
            values[name] = _typed(name, variable, value, problems)
    if not problems:
        problems = elements.problems(playbook, values)
    if problems:
        raise Invalid(problems=problems)
    return values


def _typed(name: str, variable: Variable, value: Any, problems: list[Problem]) -> Any:
    if not fits(variable, value):
        message = f"{name} must be {variable.type}, not {type(value).__name__}"
        problems.append(Problem(code="wrong_type", message=message, pointer=f"/{name}"))
    elif variable.type == "duration" and isinstance(value, str):
        try:
            return durations.seconds(value)
        except Invalid as error:
            problems.extend(error.problems)
    return list(value) if isinstance(value, tuple) else value


def _found(scope: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    if not path:
        return None
    value: Any = scope
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _bind(template: Any, variables: Mapping[str, Any], missing: list[str]) -> Any:
    if isinstance(template, Mapping):
        return {key: _bind(value, variables, missing) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [_bind(value, variables, missing) for value in template]
    if not isinstance(template, str):
        return template
    path = whole(template)
    if path is not None:
        return _value(path, variables, missing)

    def text(found: Any) -> str:
        if found["literal"]:
            return "$"
        value = _value(tuple(found["path"].split(".")), variables, missing)
        return value if isinstance(value, str) else _said(value)

    return PATTERN.sub(text, template)


def _value(path: tuple[str, ...], variables: Mapping[str, Any], missing: list[str]) -> Any:
    value: Any = variables
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            missing.append("$" + ".".join(path))
            return None
        value = value[key]
    return value


def _said(value: Any) -> str:
    """A value inside a longer text: lists as words with commas, truth values as YAML writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_said(each) for each in value)
    return str(value)
