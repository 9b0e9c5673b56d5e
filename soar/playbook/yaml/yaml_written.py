"""The model to YAML: a playbook as a person would have written it, where its workflow is nested.

The text is read back before it is handed out. A playbook that was written in YAML has the same digest
then; one of others gets a short name and ids of its own, and names the first as what it is derived from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from soar.errors import Invalid, Problem
from soar.playbook.cacao import foreign
from soar.playbook.cacao.cacao_form import differences
from soar.playbook.document import AUTHOR, EXTENSION, to_document
from soar.playbook.model import DEFAULT_TURNS, EPOCH, Playbook, Variable, made_id
from soar.playbook.plain import to_plain
from soar.playbook.vocabulary import our_type
from soar.playbook.yaml import written_steps, yaml_form
from soar.playbook.yaml.grammar import TOP
from soar.playbook.yaml.outline import END
from soar.playbook.yaml.unfold import Chain, Unfolding
from soar.playbook.yaml.written_names import Names, slug_of, variable_name

_NUMBERLIKE = re.compile(r"[-+.0-9]")
_PLAIN = re.compile(r"[0-9]+(?:ms|s|m|h|d)|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", re.ASCII)
_NO_FRACTION = re.compile(r"(?<=\d)Z$")
_WIDTH = 116
_SHORT = 96
"""Mappings and lists up to this length stand in one line."""
_MEND = "Keep it in CACAO's JSON; it runs as it is."
_COPIED = (
    "revoked", "valid_from", "valid_until", "derived_from", "related_to", "priority", "severity", "impact",
    "industry_sectors", "labels", "external_references", "markings",
)  # fmt: skip
"""Properties that have the same name in both notations."""
_SECTIONS = frozenset({"variables", "agents", "targets", "authentication", "handlers", "marking_definitions"})


def write(playbook: Playbook) -> str:
    """The YAML of a playbook. Raises Invalid with the reason and the steps where there is none.

    What a foreign playbook has beside what runs is not in it: see `left_out`.
    """
    unfolding = Unfolding(playbook)
    if unfolding.problems:
        raise Invalid(problems=unfolding.problems)
    text = _dumped(_document(playbook, unfolding, Names(playbook, unfolding.continued)))
    try:
        back, _, problems = yaml_form.read(text)
    except Invalid as error:
        raise _refused(error.problems) from None
    if problems:
        raise _refused(problems)
    if playbook.slug and back.digest != playbook.digest:
        at = next(differences(to_document(playbook), to_document(back)), "")
        message = "YAML would say it in another way"
        raise Invalid(problems=[Problem(code="not_in_yaml", message=message, pointer=at, mend=_MEND)])
    return text


def _refused(problems: Any) -> Invalid:
    """What the reader says of the text, without places: nobody has seen that text."""
    said = {each.message: each.mend if each.code == "literal_secret" else _MEND for each in problems}
    return Invalid(
        problems=[Problem(code="not_in_yaml", message=message, mend=mend) for message, mend in sorted(said.items())]
    )


def left_out(playbook: Playbook) -> list[str]:
    """What a foreign playbook has and its YAML has not, in words: nothing of it takes part in a run here."""
    if playbook.slug:
        return []
    steps = playbook.workflow.values()
    said = {
        "its signatures, which hold for the JSON alone": playbook.signatures,
        "extensions of others": playbook.playbook_extensions
        or any(step.step_extensions for step in steps)
        or set(playbook.extension_definitions) - {EXTENSION},
        "custom properties": any(foreign.custom(playbook)),
        f"that loops have no bound: they get max: {DEFAULT_TURNS}": any(
            step.type == "while-condition" and not (step.soar and step.soar.max) for step in steps
        ),
        "what start and end are called": any(
            step.type in ("start", "end") and (step.name or step.description) for step in steps
        ),
    }
    return [what for what, there in said.items() if there]


def _document(playbook: Playbook, unfolding: Unfolding, names: Names) -> dict[str, Any]:
    steps = written_steps.Steps(playbook, names)
    written = {**_head(playbook), "steps": steps.chain(unfolding.main)}
    if unfolding.handlers:
        written["handlers"] = {
            name: [*steps.chain(handler), *_goes_on(handler, names)] for name, handler in unfolding.handlers.items()
        }
    if unfolding.on_exception:
        written["on_exception"] = unfolding.on_exception
    written.update({**_variables(playbook), **_sections(playbook, names)})
    return _Block({key: _Block(written[key]) if key in _SECTIONS else written[key] for key in TOP if key in written})


def _goes_on(handler: Chain, names: Names) -> list[dict[str, str]]:
    if not handler.goes_on:
        return []
    return [{"continue": END if handler.goes_on == END else names.steps[handler.goes_on]}]


def _head(playbook: Playbook) -> dict[str, Any]:
    slug = playbook.slug or slug_of(playbook.name, "playbook")
    head: dict[str, Any] = {"id": slug}
    said: tuple[tuple[str, Any, Any], ...] = (
        ("name", playbook.name, slug),
        ("description", playbook.description, ""),
        ("created_by", playbook.created_by, AUTHOR),
        ("created", _time(playbook.created), EPOCH),
        ("modified", _time(playbook.modified), _time(playbook.created)),
        ("urgency", playbook.urgency, ""),
        ("types", list(playbook.playbook_types), []),
        ("activities", _activities(playbook), []),
    )
    head |= {key: value for key, value, absent in said if value != absent}
    plain = to_plain(playbook)
    head.update({key: plain[key] for key in _COPIED if key in plain})
    head.update({key: _time(head[key]) for key in ("valid_from", "valid_until") if key in head})
    if not playbook.slug:
        head["derived_from"] = list(dict.fromkeys([playbook.id, *playbook.derived_from]))
    if playbook.data_marking_definitions:
        head["marking_definitions"] = plain["data_marking_definitions"]
    if playbook.triggers:
        head["triggers"] = [to_plain(trigger) for trigger in playbook.triggers]
    if playbook.schedules:
        head["schedules"] = [to_plain(schedule) for schedule in playbook.schedules]
    return head


def _time(text: str) -> str:
    """A time with milliseconds, as this form wants it; other writers leave them out."""
    return text if "." in text else _NO_FRACTION.sub(".000Z", text)


def _activities(playbook: Playbook) -> list[str]:
    """Those that no command says of itself."""
    commands = [command for step in playbook.workflow.values() for command in getattr(step, "commands", ())]
    said = [command.get("playbook_activity") for command in commands]
    return [activity for activity in playbook.playbook_activities if activity not in said]


def _variables(playbook: Playbook) -> dict[str, Any]:
    written = {variable_name(name): _variable(variable) for name, variable in playbook.variables.items()}
    return {"variables": written} if written else {}


def _variable(variable: Variable) -> dict[str, Any]:
    plain: dict[str, Any] = {"type": our_type(variable.type)}
    if variable.from_:
        plain["from"] = variable.from_
    if variable.default is not None:
        plain["default"] = variable.default
    if variable.external != (variable.default is None):
        plain["external"] = variable.external
    if variable.required != (variable.default is None and "external" not in plain):
        plain["required"] = variable.required
    if variable.constant:
        plain["constant"] = True
    if variable.description:
        plain["description"] = variable.description
    return plain


def _sections(playbook: Playbook, names: Names) -> dict[str, Any]:
    """Agents, targets and authentication by name."""
    sections = {
        "agents": (playbook.agent_definitions, names.agents),
        "targets": (playbook.target_definitions, names.targets),
        "authentication": (playbook.authentication_info_definitions, names.authentication),
    }
    written = {}
    for section, (objects, known) in sections.items():
        found = {
            name: _definition(section, name, own, objects[own], names) for own, name in known.items() if own in objects
        }
        if found:
            written[section] = found
    return written


def _definition(section: str, name: str, own: str, given: Mapping[str, Any], names: Names) -> dict[str, Any]:
    plain = dict(given)
    if section != "authentication" and plain.get("name") == name:
        del plain["name"]
    known = plain.get("authentication_info")
    if isinstance(known, str) and known in names.authentication:
        plain["authentication_info"] = names.authentication[known]
    if plain.get("kms") is True and isinstance(plain.get("kms_key_identifier"), str):
        del plain["kms"]
        plain["secret"] = plain.pop("kms_key_identifier")
    derived = made_id(str(plain.get("type", "")), names.playbook, f"{section}/{name}")
    custom = plain.pop("id", None)  # a property of others; here it says which id the definition has
    return plain if own == derived and custom is None else {"id": own, **plain}


class _Block(dict[str, Any]):
    """A mapping with a line for each key, however short it is."""


class _Dumper(yaml.SafeDumper):
    """Writes what `soar.strict_yaml` reads: YAML 1.2's core schema, no anchors, and no times."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


_Dumper.yaml_implicit_resolvers = {
    first: [each for each in known if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()
}


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text that could be taken for a number is quoted; the dumper knows all other words itself."""
    numberlike = _NUMBERLIKE.match(text) and not _PLAIN.fullmatch(text)
    style = "|" if "\n" in text.strip("\n") else "'" if numberlike else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _short(value: Any) -> bool:
    """Whether it reads well in one line: no steps in it, and not long."""
    inner = value.values() if isinstance(value, Mapping) else value
    several = any(isinstance(each, list) and any(isinstance(part, Mapping | list) for part in each) for each in inner)
    return not several and len(json.dumps(value, default=str)) <= _SHORT


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    dict, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=_short(data))
)
_Dumper.add_representer(
    _Block, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=False)
)
_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", data, flow_style=_short(data) and not any(isinstance(each, dict) for each in data)
    ),
)  # fmt: skip


def _dumped(document: Mapping[str, Any]) -> str:
    said: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return said
