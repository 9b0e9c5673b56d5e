"""Playbooks as people write them: nested YAML in, the model out, or every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soar import strict_yaml
from soar.errors import Invalid, Problem
from soar.playbook import check
from soar.playbook.compile import Compiler
from soar.playbook.document import AUTHOR, EXTENSION, EXTENSION_DEFINITION
from soar.playbook.fields import Reader
from soar.playbook.handlers import check_handlers
from soar.playbook.model import EPOCH, Playbook, StartStep, Step, Trigger, Variable, made_id, playbook_id
from soar.playbook.outline import Outline, Sequence, handlers
from soar.playbook.places import Places
from soar.playbook.vocabulary import PLAYBOOK_TYPES, VARIABLE_TYPES

_KEYS = frozenset({
    "id", "name", "description", "created", "modified", "types", "labels", "triggers", "urgency", "variables", "steps",
    "handlers", "on_exception",
})  # fmt: skip
_SUMMARY: Mapping[str, str] = {
    "parallel": "parallel_processing",
    "if-condition": "if_logic",
    "while-condition": "while_logic",
    "switch-condition": "switch_logic",
    "playbook-action": "external_playbooks",
}


def load(text: str | bytes) -> Playbook:
    """Read and check a playbook. Raises Invalid with all its problems, in the order of the text."""
    playbook, places, noted = read(text)
    problems = check.problems(playbook, places, noted)
    if problems:
        raise Invalid(problems=problems)
    return playbook


def read(text: str | bytes) -> tuple[Playbook, Places, list[Problem]]:
    """Read a playbook without the rules of good playbooks; what could not be read is noted, and left out.

    Raises Invalid for what is no YAML, or no playbook at all.
    """
    document = strict_yaml.parse(text)
    reader = Reader(Places(document))
    data = reader.mapping(document.value, "", "a playbook")
    if data is None:
        raise Invalid(problems=reader.problems)
    reader.known_keys(data, _KEYS, "", "a playbook")
    slug = reader.slug(data, "id", "", need=True)
    outline = Outline(reader, playbook_id(slug))
    playbook = _playbook(reader, outline, data, slug)
    return playbook, Places(document, {item.id: item.pointer for item in outline.items}), reader.problems


def _playbook(reader: Reader, outline: Outline, data: Mapping[str, Any], slug: str) -> Playbook:
    reader.take(data, "steps", "", list, [], need=True)
    main = outline.sequence(data["steps"], "", "/steps") if isinstance(data.get("steps"), list) else Sequence("")
    found = handlers(outline, data)
    compiler = Compiler(reader, outline, found)
    head = compiler.sequence(main)
    for handler in found.values():
        compiler.sequence(handler, ends="failed")
    on_exception = reader.text(data, "on_exception", "")
    exception = compiler.head(on_exception, "/on_exception") if on_exception else ""
    check_handlers(reader, outline, found, compiler.uses, on_exception)
    start = made_id("start", outline.playbook, "start")
    workflow: dict[str, Step] = {start: StartStep(id=start, on_completion=head), **compiler.workflow}
    created = reader.time(data, "created", "", EPOCH)
    return Playbook(
        id=outline.playbook,
        slug=slug,
        name=reader.text(data, "name", "", slug),
        description=reader.text(data, "description", ""),
        created_by=AUTHOR,
        created=created,
        modified=reader.time(data, "modified", "", created),
        playbook_types=reader.words(data, "types", "", PLAYBOOK_TYPES),
        playbook_activities=_activities(workflow),
        playbook_processing_summary=_summary(workflow),
        labels=reader.words(data, "labels", ""),
        workflow_start=start,
        workflow=workflow,
        workflow_exception=exception,
        variables=_variables(reader, data),
        agent_definitions=compiler.agents,
        extension_definitions={EXTENSION: EXTENSION_DEFINITION},
        urgency=reader.word(data, "urgency", "", ("immediate", "normal")),
        triggers=_triggers(reader, data),
    )


def _activities(workflow: Mapping[str, Step]) -> tuple[str, ...]:
    """What the steps' commands say they are; CACAO wants each of them listed."""
    commands = [command for step in workflow.values() for command in getattr(step, "commands", ())]
    said = {command["playbook_activity"] for command in commands if "playbook_activity" in command}
    return tuple(sorted(said))


def _summary(workflow: Mapping[str, Step]) -> dict[str, bool]:
    """CACAO's summary of what is in the playbook (section 10.14)."""
    summary = {_SUMMARY[step.type]: True for step in workflow.values() if step.type in _SUMMARY}
    if any(step.delay for step in workflow.values()):
        summary["temporal_logic"] = True
    return {**summary, "extensions": True}


def _variables(reader: Reader, data: Mapping[str, Any]) -> dict[str, Variable]:
    found = {}
    for name, raw, at in reader.named(data, "variables", "", "variable"):
        given = reader.mapping(raw, at, "a variable")
        if given is None:
            continue
        reader.known_keys(given, {"type", "from", "required", "default", "description"}, at, "a variable")
        if "type" not in given:
            reader.note("missing_key", "type is missing", at, f"Add type: {', '.join(VARIABLE_TYPES)}.")
        default = given.get("default")
        from_ = reader.text(given, "from", at)
        found[name] = Variable(
            type=reader.word(given, "type", at, VARIABLE_TYPES, "any"),
            description=reader.text(given, "description", at),
            default=default,
            external=default is None,
            from_=from_,
            required=reader.flag(given, "required", at, default=default is None),
        )
    return found


def _triggers(reader: Reader, data: Mapping[str, Any]) -> tuple[Trigger, ...]:
    found = []
    for index, raw in enumerate(reader.take(data, "triggers", "", list, [])):
        at = f"/triggers/{index}"
        given = reader.mapping(raw, at, "a trigger")
        if given is None:
            continue
        reader.known_keys(given, {"when", "start", "rerun"}, at, "a trigger")
        start, rerun = (
            reader.word(given, "start", at, ("automatic", "propose"), "propose"),
            reader.word(given, "rerun", at, ("never", "on_new_entity"), "never"),
        )
        found.append(
            Trigger(
                when=reader.text(given, "when", at, need=True),
                start="automatic" if start == "automatic" else "propose",
                rerun="on_new_entity" if rerun == "on_new_entity" else "never",
            )
        )
    return tuple(found)
