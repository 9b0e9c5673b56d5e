"""What becomes of a playbook here: what each of its steps does, and what it has that this engine does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from soar.errors import Invalid, Problem
from soar.expressions import parse
from soar.playbook.cacao.cacao_form import property_names
from soar.playbook.cacao.cacao_variables import PROPERTIES
from soar.playbook.commands import COMMAND_TYPES, COMMAND_VERBS, MANUAL
from soar.playbook.document import EXTENSION
from soar.playbook.model import (
    ActionStep,
    EndStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    StartStep,
    Step,
    SwitchStep,
    WhileStep,
)
from soar.playbook.places import Places, nearest
from soar.playbook.references import is_variable
from soar.strict_text import escaped, shown

Outcome = Literal["runs", "asks", "refused"]

_COMMAND = frozenset({
    "type", "description", "version", "playbook_activity", "external_references", "command", "command_b64", "headers",
    "content", "content_b64",
})  # fmt: skip
_AGENT_TARGET = frozenset({
    "type", "name", "description", "location", "agent_target_extensions", "contact", "logical", "sector", "address",
    "authentication_info", "category", "port",
})  # fmt: skip
_AUTHENTICATION = frozenset({
    "type", "name", "description", "authentication_info_extensions", "user_id", "username", "password", "kms",
    "kms_key_identifier", "oauth_header", "token",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fate:
    """What one step does here: it runs by itself, it asks a person, or it is refused; and that in words."""

    step: Step
    outcome: Outcome
    words: str


def fates(playbook: Playbook) -> list[Fate]:
    """What each step does, in the order of the document; start and end do nothing."""
    steps = [step for step in playbook.workflow.values() if not isinstance(step, StartStep | EndStep)]
    return [Fate(step, *_fate(step)) for step in steps]


def _fate(step: Step) -> tuple[Outcome, str]:
    fate: tuple[Outcome, str] = ("refused", f"no engine knows steps of the type {step.type}")
    match step:
        case ActionStep():
            fate = _action(step)
        case PlaybookActionStep():
            version = f" as of {step.playbook_version}" if step.playbook_version else ", the newest version"
            fate = "runs", f"runs the playbook {step.playbook_id}{version}"
        case ParallelStep():
            fate = "runs", f"opens {len(step.next_steps)} branches"
        case IfStep() | WhileStep():
            fate = _condition(step.condition, "chooses by" if isinstance(step, IfStep) else "repeats while")
        case SwitchStep() if is_variable(step.switch):
            fate = "runs", f"chooses by {shown(step.switch)}"
        case SwitchStep():
            fate = "asks", f"asks a person to choose: {shown(step.switch)} is no variable"
    return fate


def _action(step: ActionStep) -> tuple[Outcome, str]:
    if step.soar and step.soar.undo:
        return "runs", f"takes back {', '.join(step.soar.undo)}"
    if step.soar and step.soar.verb:
        return "runs", f"runs {step.soar.verb}"
    if step.soar and step.soar.manual:
        return "asks", "asks a person"
    types = list(dict.fromkeys(str(command.get("type")) for command in step.commands))
    unknown = [kind for kind in types if kind not in COMMAND_TYPES]
    if unknown:
        return "refused", f"{', '.join(map(shown, unknown))} is no type of command"
    if not types:
        return "refused", "has no command"
    said = [f"runs {kind} where an adapter declares {COMMAND_VERBS[kind]}" for kind in types if kind != MANUAL]
    if MANUAL in types:
        said.insert(types.index(MANUAL), "asks a person")
    return ("asks" if types == [MANUAL] else "runs"), ", ".join(said)


def _condition(text: str, words: str) -> tuple[Outcome, str]:
    try:
        parse(text)
    except Invalid:
        return "asks", f"asks a person: {shown(text)} is no comparison"
    return "runs", f"{words} {shown(text)}"


def remarks(playbook: Playbook, places: Places) -> list[Problem]:
    """What is kept and does nothing here: custom properties, and extensions of others. No problem, but said."""
    found = []
    for pointer, name, known in custom(playbook):
        mend = nearest(name, known, " ").strip()
        message = f"CACAO knows no property {shown(name)} here; it is kept, and does nothing"
        found.append(places.problem("custom_property", message, f"{pointer}/{escaped(name)}", mend))
    extensions = [("/playbook_extensions", playbook.playbook_extensions)]
    extensions += [
        (f"/workflow/{escaped(step_id)}/step_extensions", step.step_extensions)
        for step_id, step in playbook.workflow.items()
    ]
    for pointer, given in extensions:
        for own in given:
            message = f"the extension {shown(_title(playbook, own))} is kept, and does nothing here"
            found.append(places.problem("foreign_extension", message, f"{pointer}/{escaped(own)}"))
    if playbook.signatures:
        message = "the signatures are kept; whether they are good is another question"
        found.append(places.problem("signatures", message, "/signatures"))
    return found


def _title(playbook: Playbook, own: str) -> str:
    definition = playbook.extension_definitions.get(own)
    name = definition.get("name") if isinstance(definition, Mapping) else None
    return name if isinstance(name, str) else own


def custom(playbook: Playbook) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Each custom property: the pointer of its object, its name, and the names that CACAO knows there."""
    known = property_names(Playbook) | {"playbook_variables", "workflow", "type", "spec_version"}
    yield from _custom("", playbook.kept, known)
    for step_id, step in playbook.workflow.items():
        at = f"/workflow/{escaped(step_id)}"
        yield from _custom(at, step.kept, property_names(type(step)) | {"type"})
        yield from _each(f"{at}/step_variables", step.step_variables, PROPERTIES)
        for index, command in enumerate(getattr(step, "commands", ())):
            yield from _custom(f"{at}/commands/{index}", command, _COMMAND)
    for name, variable in playbook.variables.items():
        yield from _custom(f"/playbook_variables/__{escaped(name)}__", variable.kept, PROPERTIES)
    for section, objects, names in (
        ("agent_definitions", playbook.agent_definitions, _AGENT_TARGET),
        ("target_definitions", playbook.target_definitions, _AGENT_TARGET),
        ("authentication_info_definitions", playbook.authentication_info_definitions, _AUTHENTICATION),
    ):
        yield from _each(f"/{section}", objects, names)


def _each(pointer: str, objects: Mapping[str, Any], known: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for own, given in objects.items():
        yield from _custom(f"{pointer}/{escaped(own)}", given if isinstance(given, Mapping) else {}, known)


def _custom(pointer: str, given: Mapping[str, Any], known: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for name in given:
        if name not in known and name != EXTENSION:
            yield pointer, name, known
