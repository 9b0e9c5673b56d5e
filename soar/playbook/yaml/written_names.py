"""Names for what has only an id: in YAML steps, agents and targets are spoken of by short names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from soar.playbook.model import Playbook, made_id, playbook_id
from soar.playbook.references import LONGEST_SLUG, is_slug
from soar.playbook.vocabulary import cacao_name
from soar.playbook.yaml.outline import RESERVED

_OTHER = re.compile(r"[^a-z0-9]+", re.ASCII)


def slug_of(text: str, otherwise: str) -> str:
    """A short name made of a text; `otherwise` where nothing of it can stand in one."""
    slug = _OTHER.sub("-", text.lower()).strip("-")
    slug = slug if slug[:1].isalpha() else f"{otherwise}-{slug}".strip("-")
    return slug[:LONGEST_SLUG].rstrip("-")


def variable_name(name: str) -> str:
    """How the YAML form writes a variable's name: as it is where it is one of ours, else as CACAO does."""
    return name if is_slug(name) else cacao_name(name)


class Names:
    """Short names by id: of steps that have one or are continued at, of agents, targets and authentication."""

    def __init__(self, playbook: Playbook, continued: Iterable[str]) -> None:
        self.playbook = playbook.id if playbook.slug else playbook_id(slug_of(playbook.name, "playbook"))
        self.steps = {step.id: step.soar.slug for step in playbook.workflow.values() if step.soar and step.soar.slug}
        taken = {*self.steps.values(), *playbook.variables, *RESERVED}
        for step_id in sorted(set(continued) - set(self.steps)):
            self.steps[step_id] = _free(slug_of(playbook.workflow[step_id].name, "step"), taken)
        made = {made_id("group", playbook.id, "agent/responders")} if playbook.slug else set()
        made |= {
            own
            for own, each in playbook.agent_definitions.items()
            if own == made_id("security-category", playbook.id, f"agent/{_name(each)}")
        }
        self.agents = _named("agents", playbook.agent_definitions, made)
        self.targets = _named("targets", playbook.target_definitions)
        self.authentication = _named("authentication", playbook.authentication_info_definitions)


def _named(section: str, objects: Mapping[str, Any], made: Iterable[str] = ()) -> dict[str, str]:
    """A name for each definition, but for those (`made`) that are made where they are needed."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for own in sorted(set(objects) - set(made)):
        kind = str(objects[own].get("type", "")) if isinstance(objects[own], Mapping) else ""
        found[own] = _free(slug_of(_name(objects[own]) or kind, section), taken)
    return found


def _name(definition: Any) -> str:
    name = definition.get("name") if isinstance(definition, Mapping) else None
    return name if isinstance(name, str) else ""


def _free(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted[: LONGEST_SLUG - 4]}-{count}"
    taken.add(name)
    return name
