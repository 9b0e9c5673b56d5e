"""Rules of what a playbook defines: agents, targets, authentication, extensions, markings, ids, times, words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from soar.errors import Problem
from soar.playbook import authentication, durations
from soar.playbook.checks.check_commands import holds_secret
from soar.playbook.checks.subject import Subject
from soar.playbook.document import EXTENSION
from soar.playbook.model import ActionStep, Playbook, PlaybookActionStep, Step
from soar.playbook.places import nearest
from soar.playbook.vocabulary import PLAYBOOK_ACTIVITIES, PLAYBOOK_TYPES
from soar.strict_text import escaped, shown

ID = re.compile(r"[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
"""An identifier: a type, two hyphens, a UUID in small letters (section 10.10)."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)

AGENT_TARGETS = frozenset({
    "individual", "group", "organization", "location", "sector", "net-address", "http-api", "linux", "ssh",
    "security-category",
})  # fmt: skip
"""Vocabulary agent-target-type-ov (section 7)."""
AUTHENTICATIONS = frozenset({"http-basic", "oauth2", "user-auth"})
"""Vocabulary authentication-info-type-ov (section 6)."""

_WRITTEN = frozenset({"type", "spec_version", "playbook_variables"})
"""Properties that the model has under another name, or not at all."""
_ADDRESSED = frozenset({"net-address", "http-api", "linux", "ssh"})
_ADDRESS = frozenset({"dname", "ipv4", "ipv6", "l2mac", "vlan", "url"})
_PARTS = {
    "undefined_agent": "agent_definitions",
    "undefined_target": "target_definitions",
    "undefined_authentication": "authentication_info_definitions",
    "undefined_extension": "extension_definitions",
    "undefined_marking": "data_marking_definitions",
}


def used(subject: Subject) -> Iterator[Problem]:
    """What is used is defined, what is defined is used (sections 3.1 and 4.5)."""
    uses: dict[str, set[str]] = {code: set() for code in _PARTS}
    for code, own, pointer in _uses(subject):
        uses[code].add(own)
        known: Mapping[str, Any] = getattr(subject.playbook, _PARTS[code])
        if own not in known:
            what = code.removeprefix("undefined_")
            message = f"no {what} {shown(own)} is defined"
            mend = nearest(own, known, f"Define it in {_PARTS[code]}.")
            yield subject.places.problem(code, message, pointer, mend)
    for code, part in _PARTS.items():
        for own, each in getattr(subject.playbook, part).items():
            if own not in uses[code] and own != EXTENSION:
                name = each.get("name") if isinstance(each, Mapping) else ""
                message = f"nothing uses {shown(str(name or own))}"
                yield subject.places.problem("unused_definition", message, _place(subject, part, own), "Remove it.")


def _uses(subject: Subject) -> Iterator[tuple[str, str, str]]:
    """Code of the definition's kind, id, and pointer of each use of a definition."""
    playbook = subject.playbook
    for step in playbook.workflow.values():
        if isinstance(step, ActionStep):
            if step.agent:
                yield "undefined_agent", step.agent, subject.pointer(step, "agent")
            for index, target in enumerate(step.targets):
                yield "undefined_target", target, subject.pointer(step, f"targets/{index}")
        for own in step.step_extensions:
            yield "undefined_extension", own, subject.pointer(step, f"step_extensions/{escaped(own)}")
    for own in playbook.playbook_extensions:
        yield "undefined_extension", own, f"/playbook_extensions/{escaped(own)}"
    for index, own in enumerate(playbook.markings):
        yield "undefined_marking", own, f"/markings/{index}"
    for part, _, each, at in _objects(subject):
        if part in ("agent_definitions", "target_definitions") and each.get("authentication_info"):
            yield "undefined_authentication", str(each["authentication_info"]), f"{at}/authentication_info"
        for key in ("agent_target_extensions", "authentication_info_extensions", "marking_extensions"):
            extensions = each.get(key)
            for used_there in extensions if isinstance(extensions, Mapping) else ():
                yield "undefined_extension", used_there, f"{at}/{key}/{escaped(used_there)}"


def _objects(subject: Subject) -> Iterator[tuple[str, str, Mapping[str, Any], str]]:
    """Each definition: the part that it stands in, its id, itself, its pointer."""
    for part in _PARTS.values():
        for own, each in getattr(subject.playbook, part).items():
            yield part, own, each if isinstance(each, Mapping) else {}, _place(subject, part, own)


def _place(subject: Subject, part: str, own: str) -> str:
    """Where a definition stands: under its id in CACAO, under its name in YAML."""
    return subject.places.definitions.get(own, f"/{part}/{escaped(own)}")


def definitions(subject: Subject) -> Iterator[Problem]:
    """Each definition has its type, its name where one is wanted, and its address in parts."""
    known = {"agent_definitions": AGENT_TARGETS, "target_definitions": AGENT_TARGETS,
             "authentication_info_definitions": AUTHENTICATIONS}  # fmt: skip
    for step in subject.actions():
        if not step.agent:
            message, mend = f"{step.label} has no agent", "Name who carries it out (section 4.5)."
            yield subject.problem("no_agent", message, step, mend=mend)
    for part, own, each, at in _objects(subject):
        kind = each.get("type")
        if not isinstance(kind, str) or not kind:
            yield subject.places.problem("missing_property", f"{shown(own)} has no type", at, "Add type.")
            continue
        if part in known and kind not in known[part]:
            message, mend = f"{shown(kind)} is no type that CACAO knows", nearest(kind, known[part])
            yield subject.places.problem("not_in_vocabulary", message, f"{at}/type", mend)
        if not own.startswith(f"{kind}--"):
            message = f"the id {shown(own)} does not begin with its type, {shown(kind)}"
            yield subject.places.problem("id_of_other_type", message, at, f"Write {kind}-- and a UUID.")
        if part in ("agent_definitions", "target_definitions"):
            yield from _addressed(subject, each, kind, at)


def _addressed(subject: Subject, each: Mapping[str, Any], kind: str, at: str) -> Iterator[Problem]:
    if not each.get("name"):
        yield subject.places.problem("missing_property", "name is missing", at, "Add name.")
    if kind not in _ADDRESSED:
        return
    address = each.get("address")
    if not isinstance(address, Mapping) or not address:
        message, mend = f"what is of type {kind} has an address", "Add address: {ipv4: [192.0.2.1]}, or another."
        yield subject.places.problem("missing_property", message, at, mend)
        return
    for name, values in address.items():
        if name not in _ADDRESS or not isinstance(values, list | tuple) or not values:
            message = f"{shown(name)} is no part of an address, or no list"
            mend = f"Map one of {', '.join(sorted(_ADDRESS))} to a list."
            yield subject.places.problem("bad_address", message, f"{at}/address/{escaped(name)}", mend)


def ids(subject: Subject) -> Iterator[Problem]:
    """Ids are a type and a UUID (section 10.10)."""
    playbook = subject.playbook
    wanted = [("/id", playbook.id, "playbook"), ("/created_by", playbook.created_by, "identity")]
    wanted += [(f"/{part}/{index}", own, "playbook") for part in ("derived_from", "related_to")
               for index, own in enumerate(getattr(playbook, part))]  # fmt: skip
    for step in playbook.workflow.values():
        wanted.append((subject.pointer(step), step.id, step.type))
        if isinstance(step, PlaybookActionStep):
            wanted.append((subject.pointer(step, "playbook"), step.playbook_id, "playbook"))
    for part in _PARTS.values():
        wanted += [(_place(subject, part, own), own, "") for own in getattr(playbook, part)]
    for pointer, own, kind in wanted:
        if not ID.fullmatch(own) or not own.startswith(f"{kind}--" if kind else ""):
            message = f"{shown(own)} is no id"
            mend = f"Write {kind or 'its type'}-- and a UUID in small letters."
            yield subject.places.problem("bad_id", message, pointer, mend)


def times(subject: Subject) -> Iterator[Problem]:
    """Times are UTC with milliseconds, and in their order (sections 3.1 and 10.16)."""
    read: dict[str, datetime] = {}
    for name in ("created", "modified", "valid_from", "valid_until"):
        text = getattr(subject.playbook, name)
        if not text:
            continue
        moment = _moment(text)
        if moment is None:
            message, mend = f"{shown(text)} is no time", "Write UTC with milliseconds, as in 2026-11-23T09:00:00.000Z."
            yield subject.places.problem("bad_time", message, f"/{name}", mend)
        else:
            read[name] = moment
            if len(text) != len("2026-11-23T09:00:00.000Z"):
                message = f"{shown(text)} has not exactly three digits of a second"
                yield subject.places.problem("time_not_milliseconds", message, f"/{name}", "Write milliseconds.")
    for first, then, equal in (("created", "modified", True), ("valid_from", "valid_until", False)):
        if first in read and then in read and (read[then] < read[first] or (not equal and read[then] == read[first])):
            message = f"{then} is {'earlier than' if equal else 'not later than'} {first}"
            yield subject.places.problem("bad_time", message, f"/{then}", f"Write a time after {first}.")


def _moment(text: str) -> datetime | None:
    """The instant that a time names, to the microsecond; None for one that does not exist."""
    if not TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(f"{text[:26].removesuffix('Z')}+00:00")
    except ValueError:
        return None


def lengths(subject: Subject) -> Iterator[Problem]:
    """Waits are not negative, and end in a lifetime (section 4.1: milliseconds)."""
    for step in subject.playbook.workflow.values():
        for key in ("delay", "timeout"):
            if not 0 <= getattr(step, key) <= durations.LONGEST:
                message = f"{key} must lie between 0 and ten years, in milliseconds"
                yield subject.problem("out_of_range", message, step, key, "Write what is meant.")


def words(subject: Subject) -> Iterator[Problem]:
    """Words of open vocabularies, numbers between 0 and 100, and activities that are reflected in steps."""
    playbook = subject.playbook
    for name in ("priority", "severity", "impact"):
        if not 0 <= getattr(playbook, name) <= 100:
            message = f"{name} must lie between 0 and 100"
            yield subject.places.problem("out_of_range", message, f"/{name}", "0 says that it is not defined.")
    if playbook.revoked:
        yield subject.places.problem("revoked_playbook", "the playbook is revoked", "/revoked", "Use a newer version.")
    for part, known in (("playbook_types", PLAYBOOK_TYPES), ("playbook_activities", PLAYBOOK_ACTIVITIES)):
        for index, word in enumerate(getattr(playbook, part)):
            if word not in known:
                message = f"{shown(word)} is not in the vocabulary"
                yield subject.places.problem("not_in_vocabulary", message, f"/{part}/{index}", nearest(word, known))
    if not subject.foreign:
        return  # the YAML form writes the activities of its verbs by itself
    if playbook.playbook_types and not playbook.playbook_activities:
        message, mend = "playbook_types without playbook_activities", "List what the steps do (section 3.1.2)."
        yield subject.places.problem("types_without_activities", message, "/playbook_types", mend)
    done = {str(command.get("playbook_activity")) for step in subject.actions() for command in step.commands}
    for index, word in enumerate(playbook.playbook_activities):
        if word in PLAYBOOK_ACTIVITIES and word not in done:
            message, mend = f"no step says that it is {shown(word)}", "Write playbook_activity on its command."
            yield subject.places.problem("activity_without_step", message, f"/playbook_activities/{index}", mend)


def custom(subject: Subject) -> Iterator[Problem]:
    """Properties that CACAO does not have are legal, and mostly a slip."""
    written: list[tuple[str, Playbook | Step]] = [("", subject.playbook)]
    written += [(subject.pointer(step), step) for step in subject.playbook.workflow.values()]
    for at, each in written:
        known = {part.metadata.get("key", part.name) for part in fields(each)} | _WRITTEN
        for name in each.kept:
            if name not in known:
                message, mend = f"CACAO has no {shown(name)} here", nearest(name, known, "Use an extension.")
                yield subject.places.problem("custom_property", message, f"{at}/{escaped(name)}", mend)


def secrets(subject: Subject) -> Iterator[Problem]:
    """Secrets stand in a playbook by name only (section 6: kms and kms_key_identifier)."""
    yield from authentication.literal_secrets(subject.playbook, subject.places)
    for name, variable in subject.playbook.variables.items():
        if isinstance(variable.default, str) and variable.default and holds_secret(f"{name}={variable.default}"):
            message = f"the variable {name} holds a secret"
            mend = "Leave its value out: it is given when the run starts, or comes from the store of secrets."
            yield subject.places.problem("literal_secret", message, f"/variables/{name}/default", mend)
