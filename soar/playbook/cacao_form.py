"""CACAO 2.0 JSON to the model. The other way is `to_document`, of `soar.playbook.document`.

Nothing is passed over: a property, a step type or a pointer that is not understood is a problem with
its JSON Pointer. What `to_document` wrote is read back exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.playbook import check
from soar.playbook.document import EXTENSION, SPEC_VERSION, TEXT_TYPES, to_document
from soar.playbook.model import (
    ActionStep,
    EndStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Soar,
    StartStep,
    Step,
    SwitchStep,
    Trigger,
    Variable,
    WhileStep,
)
from soar.playbook.places import Places
from soar.playbook.plain import from_plain
from soar.playbook.vocabulary import VARIABLE_TYPES, our_type
from soar.strict_text import escaped, shown

__all__ = ["from_document", "load", "to_document"]

STEP_TYPES: Mapping[str, type[Step]] = {
    kind.type: kind
    for kind in (
        StartStep, EndStep, ActionStep, PlaybookActionStep, ParallelStep, IfStep, WhileStep, SwitchStep,
    )
}  # fmt: skip

MAX_NODES = 60_000
"""Brackets and commas of a playbook; one of 5,000 steps has about 50,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """How our extension says where a variable's value comes from."""

    from_: str = field(default="", metadata={"key": "from"})
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extension:
    """Our extension of a playbook."""

    slug: str
    urgency: str = ""
    triggers: tuple[Trigger, ...] = ()
    variables: Mapping[str, _Outside] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A variable as CACAO writes it (section 10.18.3)."""

    type: str
    description: str = ""
    value: str | None = None
    constant: bool = False
    external: bool = False


def load(text: str | bytes) -> Playbook:
    """Read and check a CACAO 2.0 playbook in JSON. Raises Invalid with all its problems."""
    playbook, places = read(text)
    problems = check.problems(playbook, places)
    if problems:
        raise Invalid(problems=problems)
    return playbook


def read(text: str | bytes) -> tuple[Playbook, Places]:
    """Read a CACAO 2.0 playbook without the rules of good playbooks. Raises Invalid."""
    playbook = from_document(strict_json.parse(text, max_nodes=MAX_NODES))
    return playbook, Places.of_cacao(playbook.workflow)


def from_document(document: Any) -> Playbook:
    """Read a CACAO 2.0 playbook from decoded JSON. Raises Invalid with every problem."""
    if not isinstance(document, Mapping):
        raise Invalid(problems=[Problem(code="wrong_type", message="a playbook is a JSON object")])
    problems: list[Problem] = []
    rest = dict(document)
    for name, wanted in (("type", "playbook"), ("spec_version", SPEC_VERSION)):
        if (said := rest.pop(name, None)) != wanted:
            message = f"{name} must be {wanted!r}, not {shown(str(said))}"
            problems.append(Problem(code="not_cacao", message=message, pointer=f"/{name}"))
    extensions = dict(_object(rest.pop("playbook_extensions", {}), "/playbook_extensions", problems))
    own: _Extension | None = None
    if EXTENSION in extensions:
        at = f"/playbook_extensions/{EXTENSION}"
        own = from_plain(_Extension, extensions.pop(EXTENSION), at, problems)
    workflow = _workflow(rest.pop("workflow", None), problems)
    variables = _variables(rest.pop("playbook_variables", {}), own, problems)
    if extensions:
        rest["playbook_extensions"] = extensions
    playbook = from_plain(
        Playbook, rest, "", problems, workflow=workflow, variables=variables, slug=own.slug if own else "",
        urgency=own.urgency if own else "", triggers=own.triggers if own else (),
    )  # fmt: skip
    if playbook is not None:
        problems += _dangling(playbook)
    if problems or playbook is None:
        raise Invalid(problems=problems)
    return playbook


def _object(data: Any, pointer: str, problems: list[Problem]) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    problems.append(Problem(code="wrong_type", message="this must be an object", pointer=pointer))
    return {}


def _workflow(data: Any, problems: list[Problem]) -> dict[str, Step]:
    steps = {}
    for step_id, raw in _object(data, "/workflow", problems).items():
        step = _step(step_id, raw, f"/workflow/{escaped(step_id)}", problems)
        if step is not None:
            steps[step_id] = step
    return steps


def _step(step_id: str, raw: Any, pointer: str, problems: list[Problem]) -> Step | None:
    rest = dict(_object(raw, pointer, problems))
    kind = rest.pop("type", None)
    cls = STEP_TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        message = f"{shown(str(kind))} is no type of step"
        mend = f"Types are: {', '.join(STEP_TYPES)}."
        problems.append(Problem(code="unknown_step_type", message=message, pointer=f"{pointer}/type", mend=mend))
        return None
    if not step_id.startswith(f"{kind}--"):
        message = f"the id of a step of type {kind} begins with {kind}--"
        problems.append(Problem(code="bad_id", message=message, pointer=pointer))
    soar: Soar | None = None
    extensions = dict(_object(rest.pop("step_extensions", {}), f"{pointer}/step_extensions", problems))
    if EXTENSION in extensions:
        soar = from_plain(Soar, extensions.pop(EXTENSION), f"{pointer}/step_extensions/{EXTENSION}", problems)
    if extensions:
        rest["step_extensions"] = extensions
    return from_plain(cls, rest, pointer, problems, id=step_id, soar=soar)


def _variables(data: Any, own: _Extension | None, problems: list[Problem]) -> dict[str, Variable]:
    """The variables; of our own playbooks without those that only stand for outputs of steps."""
    found = {}
    for key, raw in _object(data, "/playbook_variables", problems).items():
        at = f"/playbook_variables/{escaped(key)}"
        name = key.removeprefix("__").removesuffix("__")
        if own is not None and name not in own.variables:
            continue
        if key != f"__{name}__" or not name:
            mend = "Write __name__."
            problems.append(Problem(code="bad_name", message="this is no name of a variable", pointer=at, mend=mend))
        written = from_plain(_Written, raw, at, problems)
        if written is None:
            continue
        kind = our_type(written.type)
        variable = Variable(
            type=kind, description=written.description, default=_value(kind, written.value, at, problems),
            constant=written.constant, external=written.external,
        )  # fmt: skip
        outside = own.variables[name] if own is not None else _Outside()
        found[name] = replace(variable, from_=outside.from_, required=outside.required)
    return found


def _value(kind: str, text: str | None, pointer: str, problems: list[Problem]) -> Any:
    if text is None or kind in TEXT_TYPES or kind not in VARIABLE_TYPES:
        return text
    try:
        return strict_json.parse(text)
    except Invalid as error:
        message = f"the value is no {kind}: {error.message}"
        problems.append(Problem(code="wrong_type", message=message, pointer=f"{pointer}/value"))
        return None


def _dangling(playbook: Playbook) -> list[Problem]:
    """Pointers to steps that are not there, and an entry that is no start step."""
    found = []
    pointers = [("/workflow_start", playbook.workflow_start)]
    if playbook.workflow_exception:
        pointers.append(("/workflow_exception", playbook.workflow_exception))
    for step_id, step in playbook.workflow.items():
        at = f"/workflow/{escaped(step_id)}"
        pointers += [(at, target) for target in (*step.following, *step.heads)]
    for pointer, target in pointers:
        if target not in playbook.workflow:
            message = f"there is no step {shown(target)}"
            found.append(Problem(code="dangling_step", message=message, pointer=pointer))
    if not isinstance(playbook.workflow.get(playbook.workflow_start), StartStep | None):
        message = "workflow_start names a step that is no start step"
        found.append(Problem(code="no_start", message=message, pointer="/workflow_start"))
    return found
