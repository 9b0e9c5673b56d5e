"""CACAO 2.0 JSON to the model. The other way is `to_document`, of `soar.playbook.document`.

Nothing is passed over and nothing is changed: what is accepted comes back as the same canonical JSON
(RFC 8785). Custom properties are allowed by CACAO, so they are kept; a step type, a value or a pointer
that is not understood is a problem with its JSON Pointer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, cast

from soar import canonical, strict_json
from soar.errors import Invalid, Problem
from soar.playbook import values
from soar.playbook.cacao.cacao_variables import Outside, read_variables, variable_problems
from soar.playbook.checks import check
from soar.playbook.document import EXTENSION, SPEC_VERSION, step_document, to_document
from soar.playbook.model import (
    ActionStep,
    EndStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Schedule,
    Soar,
    StartStep,
    Step,
    SwitchStep,
    Trigger,
    WhileStep,
)
from soar.playbook.places import Places
from soar.playbook.plain import from_plain
from soar.strict_text import decode, escaped, shown

__all__ = ["from_document", "load", "property_names", "read", "to_document"]

STEP_TYPES: Mapping[str, type[Step]] = {
    kind.type: kind
    for kind in (
        StartStep, EndStep, ActionStep, PlaybookActionStep, ParallelStep, IfStep, WhileStep, SwitchStep,
    )
}  # fmt: skip

MAX_NODES = 60_000
"""Brackets and commas of a playbook; one of 5,000 steps has about 50,000."""


MOST_PROBLEMS = 200
"""So many are told at once; a document with more of them is no playbook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extension:
    """Our extension of a playbook."""

    slug: str
    urgency: str = ""
    triggers: tuple[Trigger, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    variables: Mapping[str, Outside] = field(default_factory=dict)


def load(text: str | bytes) -> Playbook:
    """Read and check a CACAO 2.0 playbook in JSON. Raises Invalid with all its problems and their places."""
    playbook, places = read(text)
    problems = examined(playbook, places)
    if problems:
        raise Invalid(problems=problems)
    return playbook


def read(text: str | bytes) -> tuple[Playbook, Places]:
    """Read a CACAO 2.0 playbook without the rules of good playbooks. Raises Invalid with places."""
    document = strict_json.parse(text, max_nodes=MAX_NODES)
    workflow = document.get("workflow") if isinstance(document, Mapping) else None
    written = decode(text, max_bytes=len(text) * 4)
    places = Places.of_cacao(workflow if isinstance(workflow, Mapping) else {}, written)
    try:
        return from_document(document), places
    except Invalid as error:
        raise Invalid(problems=places.placed(error.problems)) from None


def examined(playbook: Playbook, places: Places) -> list[Problem]:
    """Everything that is wrong with a playbook that could be read."""
    return check.problems(playbook, places)


def from_document(document: Any) -> Playbook:
    """Read a CACAO 2.0 playbook from decoded JSON. Raises Invalid with every problem."""
    if not isinstance(document, Mapping):
        raise Invalid(problems=[Problem(code="wrong_type", message="a playbook is a JSON object")])
    problems: list[Problem] = list(_not_cacao(document))
    if problems:
        raise Invalid(problems=problems)
    try:
        said = canonical.dumps(document)
    except canonical.Refused:
        said = b""
        message = "a number here is infinite, or none"
        problems += [*values.too_large(document, "")] or [Problem(code="not_finite", message=message)]
    rest = {name: value for name, value in document.items() if name not in ("type", "spec_version")}
    extensions = dict(_object(rest.pop("playbook_extensions", {}), "/playbook_extensions", problems))
    own: _Extension | None = None
    if EXTENSION in extensions:
        at = f"/playbook_extensions/{EXTENSION}"
        own = from_plain(_Extension, extensions.pop(EXTENSION), at, problems)
    steps = _object(rest.pop("workflow", None), "/workflow", problems)
    workflow = _workflow(steps, problems)
    raw = _object(rest.pop("playbook_variables", {}), "/playbook_variables", problems)
    variables = read_variables(raw, None if own is None else own.variables, problems)
    if extensions:
        rest["playbook_extensions"] = extensions
    rest = {name: value for name, value in rest.items() if name in property_names(Playbook)}
    playbook = from_plain(
        Playbook, rest, "", problems, workflow=workflow, variables=variables, slug=own.slug if own else "",
        urgency=own.urgency if own else "", triggers=own.triggers if own else (),
        schedules=own.schedules if own else (),
    )  # fmt: skip
    problems += _kinds(document)
    if playbook is not None and isinstance(document.get("workflow"), Mapping):
        problems += _dangling(playbook, steps)
    if problems or playbook is None:
        raise Invalid(problems=problems[:MOST_PROBLEMS])
    written = to_document(playbook)
    kept = {name: value for name, value in document.items() if name not in written}
    if canonical.dumps({**written, **kept}) != said:
        raise Invalid(problems=[_other_words(at) for at in differences(document, {**written, **kept})])
    return replace(playbook, kept=kept)


def property_names(kind: type[Any]) -> frozenset[str]:
    """The properties that CACAO knows of a playbook or a step of this class, as far as they are in the dataclass."""
    return _names(cast("Hashable", kind))


@lru_cache(maxsize=32)
def _names(kind: Hashable) -> frozenset[str]:
    known = fields(cast("type[Any]", kind))
    return frozenset(each.metadata.get("key", each.name) for each in known if each.metadata.get("inside", True))


def _object(data: Any, pointer: str, problems: list[Problem]) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    problems.append(Problem(code="wrong_type", message="this must be an object", pointer=pointer))
    return {}


def _not_cacao(document: Mapping[str, Any]) -> Iterator[Problem]:
    """A document of another kind is not looked at any further."""
    for name, wanted in (("type", "playbook"), ("spec_version", SPEC_VERSION)):
        said = document.get(name)
        if said != wanted:
            message = f"{name} must be {wanted!r}, not {shown(str(said))}" if said else f"{name} is missing"
            yield Problem(code="not_cacao", message=message, pointer=f"/{name}", mend=f"Write {name}: {wanted}.")


def _workflow(data: Mapping[str, Any], problems: list[Problem]) -> dict[str, Step]:
    steps = {}
    for step_id, raw in data.items():
        if len(problems) >= MOST_PROBLEMS:
            break
        step = _step(step_id, raw, f"/workflow/{escaped(step_id)}", problems)
        if step is not None:
            steps[step_id] = step
    return steps


def _step(step_id: str, raw: Any, pointer: str, problems: list[Problem]) -> Step | None:
    given = _object(raw, pointer, problems)
    rest = dict(given)
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
    problems += variable_problems(rest.get("step_variables", {}), f"{pointer}/step_variables")
    rest = {name: value for name, value in rest.items() if name in property_names(cls)}
    step = from_plain(cls, rest, pointer, problems, id=step_id, soar=soar)
    if step is None:
        return None
    written = step_document(step)
    return replace(step, kept={name: value for name, value in given.items() if name not in written})


def _kinds(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Commands and definitions without a type (sections 5, 6, 7, 8 and 9); that one is no object is said elsewhere."""
    objects = [
        (f"/{section}/{escaped(own)}", each)
        for section in ("agent_definitions", "target_definitions", "authentication_info_definitions",
                        "data_marking_definitions", "extension_definitions")
        for own, each in _members(document.get(section))
    ]  # fmt: skip
    for step_id, step in _members(document.get("workflow")):
        commands = step.get("commands") if isinstance(step, Mapping) else None
        for index, command in enumerate(commands if isinstance(commands, list) else ()):
            objects.append((f"/workflow/{escaped(step_id)}/commands/{index}", command))
    for pointer, each in objects:
        if isinstance(each, Mapping) and not isinstance(each.get("type"), str):
            code = "wrong_type" if "type" in each else "missing_property"
            message = "type must be text" if "type" in each else "type is missing"
            yield Problem(code=code, message=message, pointer=pointer, mend="Add type.")


def _members(data: Any) -> list[tuple[str, Any]]:
    return list(data.items()) if isinstance(data, Mapping) else []


def _dangling(playbook: Playbook, steps: Mapping[str, Any]) -> list[Problem]:
    """Pointers to steps that are not there, and an entry that is no start step."""
    pointers = [("/workflow_start", playbook.workflow_start)]
    if playbook.workflow_exception:
        pointers.append(("/workflow_exception", playbook.workflow_exception))
    for step_id, step in playbook.workflow.items():
        pointers += [(f"/workflow/{escaped(step_id)}/{name}", target) for name, target in _targets(step)]
    found = []
    for pointer, target in pointers:
        if target not in steps:
            message = f"there is no step {shown(target)}"
            found.append(Problem(code="dangling_step", message=message, pointer=pointer))
    if not isinstance(playbook.workflow.get(playbook.workflow_start), StartStep | None):
        message = "workflow_start names a step that is no start step"
        found.append(Problem(code="no_start", message=message, pointer="/workflow_start"))
    return found


def _targets(step: Step) -> Iterator[tuple[str, str]]:
    """Each pointer of a step: the property, and the step that it names."""
    for name in ("on_completion", "on_success", "on_failure", "on_true", "on_false"):
        if target := getattr(step, name, ""):
            yield name, target
    for index, target in enumerate(getattr(step, "next_steps", ())):
        yield f"next_steps/{index}", target
    for case, target in getattr(step, "cases", {}).items():
        yield f"cases/{escaped(case)}", target


def _other_words(pointer: str) -> Problem:
    """What would come back in other words is refused: only our own extension has one way to say a thing."""
    message, mend = "our own extension is not written this way", "Leave out what says nothing, or write YAML."
    return Problem(code="not_our_form", message=message, pointer=pointer, mend=mend)


def differences(one: Any, other: Any, pointer: str = "") -> Iterator[str]:
    """JSON Pointers of the parts in which two JSON values differ, as canonical JSON sees them."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            at = f"{pointer}/{escaped(str(name))}"
            if name in one and name in other:
                yield from differences(one[name], other[name], at)
            else:
                yield at
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{pointer}/{index}")
    elif one is not other and canonical.dumps(one) != canonical.dumps(other):
        yield pointer
