"""The sections of a playbook in YAML that define things by name: variables, agents, targets, authentication."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from soar.playbook import authentication, values
from soar.playbook.document import variable_document
from soar.playbook.model import Variable, made_id
from soar.playbook.places import nearest
from soar.playbook.references import is_slug
from soar.playbook.vocabulary import CACAO_TYPES, bare_name, cacao_name, our_type
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.grammar import STEP_VARIABLE, VARIABLE, Part
from soar.strict_text import escaped, shown

_CACAO_NAME = re.compile(r"__[A-Za-z0-9_-]{1,200}__", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]", re.ASCII)
_MEND = "Use small letters and digits, with single - or _ between them, at most 64, a letter first."


@dataclass(slots=True)
class Definitions:
    """Agents, targets or authentication of one playbook: ids by name, and objects by id."""

    ids: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def id_of(self, reader: Reader, name: str, pointer: str, what: str) -> str:
        """The id behind a name; noted and empty where there is none."""
        if name not in self.ids:
            mend = nearest(name, self.ids, f"Define it in {what}.")
            reader.note(f"unknown_{what.removesuffix('s')}", f"there is no {shown(name)} in {what}", pointer, mend)
        return self.ids.get(name, "")


@dataclass(frozen=True, slots=True)
class Sections:
    """All that commands are done by, done to and done with."""

    agents: Definitions
    targets: Definitions
    authentication: Definitions


def read_sections(reader: Reader, data: Mapping[str, Any], playbook: str) -> Sections:
    """The three sections. Agents and targets name their authentication."""
    known = Definitions()
    for name, given, at in _named(reader, data, "authentication"):
        _secret(reader, given, at)
        _define(known, playbook, "authentication", name, given)
    agents, targets = Definitions(), Definitions()
    for section, found in (("agents", agents), ("targets", targets)):
        for name, given, at in _named(reader, data, section):
            if "authentication_info" in given:
                said = reader.text(given, "authentication_info", at)
                given["authentication_info"] = known.id_of(
                    reader, said, f"{at}/authentication_info", "authentication"
                )  # fmt: skip
            _define(found, playbook, section, name, {"name": name, **given})
    return Sections(agents, targets, known)


def _named(reader: Reader, data: Mapping[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each definition of a section that has a type."""
    for name, raw, at in reader.named(data, section, "", section):
        given = reader.mapping(raw, at, f"an entry of {section}")
        if given is None:
            continue
        kind = reader.text(given, "type", at, need=True)
        if kind and not _TYPE.fullmatch(kind):
            reader.note("bad_name", f"{shown(kind)} is no type", f"{at}/type", "Write one of CACAO's, as in ssh.")
        elif kind and isinstance(given.get("id", ""), str):
            yield name, dict(given), at
        elif kind:
            reader.text(given, "id", at)


def _define(into: Definitions, playbook: str, section: str, name: str, given: dict[str, Any]) -> None:
    own = given.pop("id", "") or made_id(given["type"], playbook, f"{section}/{name}")
    into.ids[name] = own
    into.objects[own] = given


def places_of(data: Mapping[str, Any], playbook: str) -> dict[str, str]:
    """The JSON Pointer of each definition in the text, by its id in the playbook."""
    found = {}
    for section in ("agents", "targets", "authentication"):
        given = data.get(section)
        for name, each in given.items() if isinstance(given, Mapping) else ():
            if isinstance(each, Mapping) and isinstance(each.get("type"), str):
                own = each.get("id") or made_id(each["type"], playbook, f"{section}/{name}")
                found[str(own)] = f"/{section}/{escaped(name)}"
    return found


def _secret(reader: Reader, given: dict[str, Any], pointer: str) -> None:
    """`secret: NAME` is CACAO's way to name a key in a store; a secret itself is refused."""
    for name in sorted(authentication.SECRETS & set(given)):
        value = given[name]
        if not (isinstance(value, str) and values.REFERENCE.fullmatch(value)):
            message = f"a {name} is written out in the playbook"
            mend = "Keep the value in the store of secrets, and write secret: NAME."
            reader.note("literal_secret", message, f"{pointer}/{name}", mend)
    if "secret" in given:
        name = reader.text(given, "secret", pointer)
        del given["secret"]
        if {"kms", "kms_key_identifier"} & set(given):
            reader.note("two_ways", "secret stands beside kms", f"{pointer}/secret", "Keep secret.")
        given.update({"kms": True, "kms_key_identifier": name})


def read_variables(reader: Reader, data: Mapping[str, Any]) -> dict[str, Variable]:
    """The variables of a playbook."""
    found = {}
    for name, given, at in _variables(reader, data, "", VARIABLE):
        default = given.get("default")
        found[name] = Variable(
            **_common(reader, VARIABLE, given, at),
            from_=reader.part(VARIABLE, given, "from", at),
            required=reader.part(VARIABLE, given, "required", at, default is None and "external" not in given),
        )
    return found


def read_step_variables(reader: Reader, data: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The variables of a step, as CACAO writes them."""
    found = {}
    for name, given, at in _variables(reader, data, pointer, STEP_VARIABLE):
        written = variable_document(Variable(**_common(reader, STEP_VARIABLE, given, at, external=False)))
        kind = written["type"]
        if kind not in CACAO_TYPES and "value" in written and not values.fits(kind, written["value"]):
            message = f"the default of {name} is no {our_type(kind)}"
            reader.note("wrong_type", message, f"{at}/default", "Change the type or the default.")
        found[cacao_name(name)] = written
    return found


def _variables(
    reader: Reader, data: Mapping[str, Any], pointer: str, table: Mapping[str, Part]
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Each variable: its name without what CACAO puts around it."""
    for name, raw in reader.take(data, "variables", pointer, dict, {}).items():
        at = f"{pointer}/variables/{escaped(name)}"
        if not is_slug(name) and (not _CACAO_NAME.fullmatch(name) or is_slug(bare_name(name))):
            mend = f"Write {bare_name(name)}." if is_slug(bare_name(name)) else _MEND
            reader.note("bad_name", f"{shown(name)} is no name of a variable", f"{at}#key", mend)
            continue
        given = reader.mapping(raw, at, "a variable")
        if given is None:
            continue
        reader.known_keys(given, table, at, "a variable")
        if "type" not in given:
            reader.note("missing_key", "type is missing", at, f"Add type: {', '.join(table['type'].words)}.")
        yield name if is_slug(name) else bare_name(name), given, at


def _common(
    reader: Reader, table: Mapping[str, Part], given: Mapping[str, Any], at: str, *, external: bool = True
) -> dict[str, Any]:
    """What every variable has. `external` says that one without a value comes from outside."""
    kind = _kind(reader, table, given, at)
    default = given.get("default")
    if kind in CACAO_TYPES and default is not None:
        text = default if isinstance(default, str) else json.dumps(default)
        if not values.fits(kind, text):
            message, mend = f"{shown(text)} is no {kind}", "Change the type or the default."
            reader.note("wrong_type", message, f"{at}/default", mend)
        default = values.parsed(kind, text)
    return {
        "type": kind,
        "description": reader.part(table, given, "description", at),
        "default": default,
        "constant": reader.part(table, given, "constant", at),
        "external": reader.part(table, given, "external", at, external and default is None),
    }


def _kind(reader: Reader, table: Mapping[str, Part], given: Mapping[str, Any], at: str) -> str:
    said = given.get("type")
    if isinstance(said, str) and our_type(said) != said:
        mend = f"Did you mean {our_type(said)}?"
        reader.note("unknown_word", f"type may not be {shown(said)}", f"{at}/type", mend)
        return "any"
    kind: str = reader.part(table, given, "type", at, "any")
    return kind
