"""The CACAO 2.0 document of a playbook: what is hashed, stored and sent to others.

What CACAO has no word for stands under one extension definition of ours, on the playbook and on its
steps. A foreign engine that does not know it still finds a whole playbook, whose actions ask a person.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from soar.playbook.plain import to_plain
from soar.playbook.vocabulary import VARIABLE_TYPES, cacao_type, outputs_of

NAMESPACE = uuid.UUID("0c6e0f5b-6f3b-4d0e-9a57-3d1f4c1f7a10")
"""Under this UUID a playbook's short name becomes its CACAO id (UUIDv5)."""

AUTHOR = f"identity--{uuid.uuid5(NAMESPACE, 'author')}"
"""CACAO wants an author of every playbook; the YAML form names none."""

EXTENSION = "extension-definition--7d3c9a52-4f0b-4c1e-8a6d-5b2e90c7f314"
"""Our extension, of playbooks and of steps; fixed for ever."""

EXTENSION_DEFINITION: Mapping[str, Any] = {
    "type": "extension-definition",
    "name": "Incident response actions",
    "description": "Typed verbs with targets, leases, reviews, approvals, retries and undo; triggers of playbooks.",
    "created_by": AUTHOR,
    "schema": "Each step names a verb, or what it undoes or asks; times are seconds; $name refers to a variable.",
    "version": "1.0.0",
}

SPEC_VERSION = "cacao-2.0"
TEXT_TYPES = frozenset({"str", "duration"})
"""Types whose values are written as they are; those of other types of ours are JSON in a string."""


def to_document(playbook: Any) -> dict[str, Any]:
    """The playbook (soar.playbook.model.Playbook) as a CACAO 2.0 JSON object.

    It takes any value with the fields of Playbook: the model stands on this module for its digest.
    """
    document = {"type": "playbook", "spec_version": SPEC_VERSION, **to_plain(playbook)}
    document["workflow"] = {step_id: step_document(step) for step_id, step in playbook.workflow.items()}
    if variables := _variables(playbook):
        document["playbook_variables"] = variables
    if own := _extension(playbook):
        document["playbook_extensions"] = {**document.get("playbook_extensions", {}), EXTENSION: own}
    return {**document, **playbook.kept}


def step_document(step: Any) -> dict[str, Any]:
    """One step as it stands in the workflow."""
    plain = {"type": step.type, **to_plain(step)}
    if step.soar is not None:
        plain["step_extensions"] = {**plain.get("step_extensions", {}), EXTENSION: to_plain(step.soar)}
    return {**plain, **step.kept}


def variable_document(variable: Any) -> dict[str, Any]:
    """One variable as CACAO writes it (section 10.18.3): its value is text, whatever its type."""
    plain: dict[str, Any] = {"type": cacao_type(variable.type)}
    if variable.description:
        plain["description"] = variable.description
    if variable.default is not None:
        plain["value"] = _text(variable.type, variable.default)
    for flag in ("constant", "external"):
        if getattr(variable, flag):
            plain[flag] = True
    return {**plain, **variable.kept}


def _variables(playbook: Any) -> dict[str, Any]:
    """The playbook's variables, and one for each output of its steps."""
    written: dict[str, Any] = {}
    for step in playbook.workflow.values():
        soar = step.soar
        if soar is not None and soar.slug:
            for name, kind in outputs_of(soar.verb, soar.outputs).items():
                written[f"__{soar.slug}__{name}__"] = {"type": cacao_type(kind)}
    return {**written, **{f"__{name}__": variable_document(each) for name, each in playbook.variables.items()}}


def _text(kind: str, value: Any) -> str:
    if kind in TEXT_TYPES or kind not in VARIABLE_TYPES:
        return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _extension(playbook: Any) -> dict[str, Any]:
    """Our part of the playbook; empty for a foreign playbook, which has no short name."""
    if not playbook.slug:
        return {}
    own: dict[str, Any] = {"slug": playbook.slug}
    if playbook.urgency:
        own["urgency"] = playbook.urgency
    if playbook.triggers:
        own["triggers"] = to_plain(playbook.triggers)
    if playbook.schedules:
        own["schedules"] = to_plain(playbook.schedules)
    own["variables"] = {
        name: {
            **({"from": variable.from_} if variable.from_ else {}),
            **({"required": True} if variable.required else {}),
        }
        for name, variable in playbook.variables.items()
    }
    return own
