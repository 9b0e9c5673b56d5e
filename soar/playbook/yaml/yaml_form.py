"""Playbooks as people write them: nested YAML in, the model out, or every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soar import strict_yaml
from soar.errors import Invalid, Problem
from soar.playbook import values
from soar.playbook.checks import check
from soar.playbook.document import AUTHOR, EXTENSION, EXTENSION_DEFINITION
from soar.playbook.model import EPOCH, Playbook, Schedule, StartStep, Step, Trigger, made_id, playbook_id
from soar.playbook.places import Places
from soar.playbook.yaml.compile import Compiler
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.grammar import SCHEDULE, TOP, TRIGGER
from soar.playbook.yaml.handlers import check_handlers
from soar.playbook.yaml.outline import Outline, Sequence, handlers
from soar.playbook.yaml.sections import places_of, read_sections, read_variables
from soar.strict_text import escaped

_SUMMARY: Mapping[str, str] = {
    "parallel": "parallel_processing",
    "if-condition": "if_logic",
    "while-condition": "while_logic",
    "switch-condition": "switch_logic",
    "playbook-action": "external_playbooks",
}
_UNRULED = frozenset({"agents", "targets", "authentication", "schedules", "external_references", "marking_definitions"})
"""Keys with values that no rule looks at."""


def load(text: str | bytes) -> Playbook:
    """Read and check a playbook. Raises Invalid with all its problems, in the order of the text."""
    playbook, places, noted = read(text)
    problems = check.problems(playbook, places, noted)
    if problems:
        raise Invalid(problems=problems)
    return playbook


def read(text: str | bytes) -> tuple[Playbook, Places, list[Problem]]:
    """Read a playbook without the rules of good playbooks; with what is wrong in the way it is written.

    Raises Invalid for what is no YAML, or no mapping.
    """
    document = strict_yaml.parse(text)
    reader = Reader(Places(document))
    data = reader.mapping(document.value, "", "a playbook")
    if data is None:
        raise Invalid(problems=reader.problems)
    reader.known_keys(data, TOP, "", "a playbook")
    outline = Outline(reader, playbook_id(reader.slug(data, "id", "", need=True)))
    playbook = _playbook(reader, outline, data)
    for key in _UNRULED & set(data):
        reader.problems += reader.places.placed(values.too_large(data[key], f"/{key}"))
    steps = {item.id: item.pointer for item in outline.items}
    return playbook, Places(document, steps, definitions=places_of(data, outline.playbook)), reader.problems


def _playbook(reader: Reader, outline: Outline, data: Mapping[str, Any]) -> Playbook:
    reader.take(data, "steps", "", list, [], need=True)
    main = outline.sequence(data["steps"], "", "/steps") if isinstance(data.get("steps"), list) else Sequence("")
    found = handlers(outline, data)
    sections = read_sections(reader, data, outline.playbook)
    compiler = Compiler(reader, outline, found, sections)
    head = compiler.sequence(main)
    for handler in found.values():
        compiler.sequence(handler, ends="failed")
    on_exception = reader.text(data, "on_exception", "")
    exception = compiler.head(on_exception, "/on_exception") if on_exception else ""
    check_handlers(reader, outline, found, compiler.uses, on_exception)
    start = made_id("start", outline.playbook, "start")
    workflow: dict[str, Step] = {start: StartStep(id=start, on_completion=head), **compiler.workflow}
    return Playbook(
        id=outline.playbook,
        playbook_activities=_activities(reader, data, workflow),
        playbook_processing_summary=_summary(data, workflow),
        workflow_start=start,
        workflow=workflow,
        workflow_exception=exception,
        variables=read_variables(reader, data),
        agent_definitions={**sections.agents.objects, **compiler.agents},
        target_definitions=sections.targets.objects,
        authentication_info_definitions=sections.authentication.objects,
        extension_definitions={EXTENSION: EXTENSION_DEFINITION},
        triggers=_triggers(reader, data),
        schedules=_schedules(reader, data),
        **_head(reader, data),
    )


def _head(reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the playbook as a whole."""

    def part(key: str, default: Any = "") -> Any:
        return reader.part(TOP, data, key, "", default)

    slug = reader.slug(data, "id", "") if isinstance(data.get("id"), str) else ""
    created = part("created", EPOCH)
    texts = {key: part(key) for key in ("derived_from", "related_to", "industry_sectors", "labels", "markings")}
    return {
        **texts,
        **{key: part(key) for key in ("description", "revoked", "valid_from", "valid_until", "urgency")},
        **{key: part(key) for key in ("priority", "severity", "impact")},
        "slug": slug,
        "name": part("name", slug),
        "created_by": part("created_by", AUTHOR),
        "created": created,
        "modified": part("modified", created),
        "playbook_types": part("types"),
        "external_references": tuple(part("external_references")),
        "data_marking_definitions": _markings(reader, part("marking_definitions")),
    }


def _markings(reader: Reader, given: Mapping[str, Any]) -> dict[str, Any]:
    """Marking definitions: CACAO's own objects, each with a type."""
    found = {}
    for name, raw in given.items():
        at = f"/marking_definitions/{escaped(name)}"
        definition = reader.mapping(raw, at, "a marking definition")
        if definition is not None and reader.text(definition, "type", at, need=True):
            found[name] = definition
    return found


def _activities(reader: Reader, data: Mapping[str, Any], workflow: Mapping[str, Step]) -> tuple[str, ...]:
    """What the steps' commands say they are, and what else is said; CACAO wants each of them listed."""
    commands = [command for step in workflow.values() for command in getattr(step, "commands", ())]
    said = {command["playbook_activity"] for command in commands if isinstance(command.get("playbook_activity"), str)}
    return tuple(sorted({*said, *reader.part(TOP, data, "activities", "")}))


def _summary(data: Mapping[str, Any], workflow: Mapping[str, Step]) -> dict[str, bool]:
    """CACAO's summary of what is in the playbook (section 10.14)."""
    summary = {_SUMMARY[step.type]: True for step in workflow.values() if step.type in _SUMMARY}
    if any(step.delay for step in workflow.values()):
        summary["temporal_logic"] = True
    if data.get("markings"):
        summary["data_markings"] = True
    return {**summary, "extensions": True}


def _triggers(reader: Reader, data: Mapping[str, Any]) -> tuple[Trigger, ...]:
    found = []
    for index, raw in enumerate(reader.take(data, "triggers", "", list, [])):
        at = f"/triggers/{index}"
        given = reader.mapping(raw, at, "a trigger")
        if given is None:
            continue
        reader.known_keys(given, TRIGGER, at, "a trigger")
        start = reader.part(TRIGGER, given, "start", at, "propose")
        rerun = reader.part(TRIGGER, given, "rerun", at, "never")
        when = reader.part(TRIGGER, given, "when", at)
        found.append(Trigger(when=when, start=start, rerun=rerun))
    return tuple(found)


def _schedules(reader: Reader, data: Mapping[str, Any]) -> tuple[Schedule, ...]:
    found = []
    for index, raw in enumerate(reader.take(data, "schedules", "", list, [])):
        at = f"/schedules/{index}"
        given = reader.mapping(raw, at, "a schedule")
        if given is None:
            continue
        reader.known_keys(given, SCHEDULE, at, "a schedule")
        found.append(
            Schedule(
                cron=reader.part(SCHEDULE, given, "cron", at),
                timezone=reader.part(SCHEDULE, given, "timezone", at, "UTC"),
                inputs=reader.part(SCHEDULE, given, "inputs", at),
            )
        )
    return tuple(found)
