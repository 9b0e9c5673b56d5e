"""The JSON Schema (2020-12) of playbooks in YAML, for editors. Made from the tables that the reader uses.

It says what a key may be and what may stand behind it. What hangs on other places (whether a name is
defined, whether a step can have run before) only `soar playbook check` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soar.playbook.references import LONGEST_SLUG, SLUG
from soar.playbook.yaml.grammar import APPROVAL, FORMS, STEP, TOP, Part
from soar.verbs import VERBS, Field, Verb

ID = "https://soar-ir.invalid/schemas/playbook.json"
"""A name, not an address: `.invalid` is never resolved (RFC 6761, section 6.4)."""

_NAME = f"^{SLUG.pattern}$"
_DURATION = {"type": "string", "pattern": "^[0-9]{1,15}(ms|s|m|h|d)$"}
_REFERENCE = r"^\$[a-z][a-z0-9]*([-_][a-z0-9]+)*(\.\w+(-\w+)*)*$"
_ANY_REFERENCE = {"type": "string", "pattern": r"\$[a-z]"}
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z$"
_STEPS: Mapping[str, Any] = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}
_HANDLER: Mapping[str, Any] = {
    "type": "array", "minItems": 1, "items": {"anyOf": [{"$ref": "#/$defs/step"}, {"$ref": "#/$defs/continue"}]}
}  # fmt: skip
_COMMAND = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "milliseconds": _DURATION,
    "seconds": _DURATION,
    "length": {"anyOf": [_DURATION, {"type": "string", "pattern": _REFERENCE}]},
    "flag": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "object"}},
    "dict": {"type": "object"},
    "any": {},
    "steps": _STEPS,
    "branches": {"type": "array", "minItems": 2, "items": _STEPS},
    "cases": {
        "type": "object", "propertyNames": {"not": {"const": "default"}},
        "additionalProperties": _STEPS,
    },
    "command": {"anyOf": [_COMMAND, {"type": "array", "minItems": 1, "items": _COMMAND}]},
    "handlers": {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": _HANDLER},
}  # fmt: skip
"""Kinds of parts of which all are alike."""
_PATTERNS: Mapping[str, str] = {
    "slug": _NAME, "time": _TIME, "reference": rf"{_REFERENCE}|^__[A-Za-z0-9_-]+__:value$"
}  # fmt: skip
_TYPES: Mapping[str, Any] = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"},
    "duration": {"anyOf": [_DURATION, {"type": "number"}]}, "list": {"type": "array"}, "dict": {"type": "object"},
    "any": {},
}  # fmt: skip


def schema() -> dict[str, Any]:
    """The whole schema as plain data."""
    verbs = [verb for verb in VERBS.values() if not verb.undoes]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Playbook",
        **_object(TOP),
        "$defs": {
            "step": {
                "type": "object",
                "oneOf": [{"required": [form]} for form in FORMS],
                "allOf": [{"if": {"required": [form]}, "then": {"$ref": f"#/$defs/{form}"}} for form in FORMS],
            },
            "continue": {
                "type": "object", "required": ["continue"], "additionalProperties": False,
                "properties": {"continue": {"type": "string", "pattern": _NAME}},
            },
            **{form: _form(form, verbs) for form in FORMS},
            **{f"with-{verb.name}": _parameters(verb) for verb in verbs},
        },
    }  # fmt: skip


def _form(form: str, verbs: list[Verb]) -> dict[str, Any]:
    """One form of a step; keys that are needed only in it are needed here."""
    keys = FORMS[form][1]
    made = _object({key: part for key, part in STEP.items() if key in keys})
    if form == "do":
        made["allOf"] = [
            {
                "if": {"properties": {"do": {"const": verb.name}}},
                "then": {"properties": {"with": {"$ref": f"#/$defs/with-{verb.name}"}}, **_with(verb)},
            }
            for verb in verbs
        ]
        made["dependentRequired"] = {"as": ["for_each"]}
    return made


def _with(verb: Verb) -> dict[str, Any]:
    return {"required": ["with"]} if any(field.required for field in verb.params.values()) else {}


def _parameters(verb: Verb) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _parameter(field) for name, field in verb.params.items()},
        "required": [name for name, field in verb.params.items() if field.required],
    }


def _parameter(field: Field) -> dict[str, Any]:
    """A value of the parameter's type, or a text with a reference in it."""
    described = {"description": field.doc} if field.doc else {}
    if field.type in ("str", "any"):
        return {**described, **_TYPES[field.type]}
    return {**described, "anyOf": [_TYPES[field.type], _ANY_REFERENCE]}


def _object(parts: Mapping[str, Part]) -> dict[str, Any]:
    """A mapping with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: {"description": part.doc, **_part(part)} for key, part in parts.items()},
        "required": [key for key, part in parts.items() if part.need],
    }


def _part(part: Part) -> dict[str, Any]:
    """What may stand behind a key."""
    if part.kind in _PLAIN:
        return dict(_PLAIN[part.kind])
    if part.kind == "number":
        return {"type": "integer", "minimum": part.least, "maximum": part.most}
    if part.kind in ("words", "texts", "word", "verb", "undo", "types"):
        return _words(part)
    if part.parts:
        return _nested(part)
    made: dict[str, Any] = {"type": "string", "minLength": 1}
    if part.kind in _PATTERNS:
        made["pattern"] = _PATTERNS[part.kind]
    return made | ({"maxLength": LONGEST_SLUG} if part.kind == "slug" else {})


def _words(part: Part) -> dict[str, Any]:
    name = {"type": "string", "minLength": 1}
    match part.kind:
        case "verb":
            return {"enum": [verb.name for verb in VERBS.values() if not verb.undoes]}
        case "undo":
            return {"anyOf": [name, {"type": "array", "minItems": 1, "items": name}]}
        case "types":
            return {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": _enum(part)}
        case "word":
            return _enum(part)
    # Of free texts the words are those that an editor offers.
    open_words = {"anyOf": [_enum(part), name]} if part.words else name
    closed = part.kind == "words" or part is APPROVAL["any_of"]
    return {"type": "array", "items": _enum(part) if closed else open_words}


def _enum(part: Part) -> dict[str, Any]:
    return {"enum": list(part.words)}


def _nested(part: Part) -> dict[str, Any]:
    inner = _object(part.parts)
    if part.kind == "objects":
        return {"type": "array", "items": inner}
    if part.kind == "named":
        names = {"pattern": rf"{_NAME}|^__[A-Za-z0-9_-]{{1,200}}__$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": inner}
    return inner
