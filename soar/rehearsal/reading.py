"""Reads a rehearsal out of YAML: everything right, or every problem with line and column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from soar import strict_yaml
from soar.engine.binding import initial_inputs
from soar.errors import Invalid, NotFound
from soar.model import Determination, Observable, ScopeStatus, Severity, Verdict
from soar.playbook.model import Playbook
from soar.playbook.places import Places
from soar.playbook.yaml.fields import Reader
from soar.rehearsal.expectations import read_expected
from soar.rehearsal.model import Case, Given, Outcome, Rehearsal
from soar.rehearsal.names import step_names
from soar.rehearsal.outcomes import Steps, read_outcomes
from soar.strict_text import escaped, shown

Find = Callable[[str], Playbook]
"""A playbook by the short name or path that a rehearsal gives; raises NotFound or Invalid."""

_KEYS = ("playbook", "description", "given", "cases")
_GIVEN = ("severity", "determination", "alert", "scope", "observables", "inputs", "steps")
_SCOPE = ("hosts", "accounts", "mailboxes", "keys", "services")
"""As conditions and `from` name them."""
_OUT_OF_IT = ("suspected", "cleared")
CERTAIN = 100


@dataclass(frozen=True, slots=True)
class _Parts:
    """One `given` as it was written."""

    severity: Severity | None = None
    determination: str = ""
    alert: Mapping[str, Any] = field(default_factory=dict)
    scope: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    observables: Mapping[str, Observable] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, tuple[Outcome, ...]] = field(default_factory=dict)

    def over(self, shared: _Parts) -> _Parts:
        """What a case gives, and from the shared part what it does not."""
        return _Parts(
            self.severity or shared.severity,
            self.determination or shared.determination,
            {**shared.alert, **self.alert},
            {**shared.scope, **self.scope},
            {**shared.observables, **self.observables},
            {**shared.inputs, **self.inputs},
            {**shared.outcomes, **self.outcomes},
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What conditions and variables may speak of, in the form that a run reads them in."""
        severity = (self.severity or Severity.HIGH).id
        return {
            "alert": {"severity_id": severity, **self.alert},
            "incident": {
                "id": "incident", "severity_id": severity, "status": "in_progress",
                "determination": self.determination or Determination.SUSPECTED.value,
                "observables": list(self.observables),
            },
            "scope": {
                name: {
                    "all": list(self.scope.get(name, {})),
                    "affected": [each for each, said in self.scope.get(name, {}).items() if said not in _OUT_OF_IT],
                }
                for name in _SCOPE
            },
        }  # fmt: skip


def load(text: str | bytes, find: Find) -> Rehearsal:
    """Read a rehearsal and the playbook that it names. Raises Invalid with every problem, in the order of the text."""
    document = strict_yaml.parse(text)
    reader = Reader(Places(document))
    data = reader.mapping(document.value, "", "a rehearsal")
    if data is None:
        raise Invalid(problems=reader.problems)
    reader.known_keys(data, _KEYS, "", "a rehearsal")
    reader.text(data, "description", "")
    playbook = _playbook(reader, data, find)
    if playbook is None:
        raise Invalid(problems=reader.problems)
    steps = Steps(playbook, step_names(playbook))
    shared = _given(reader, data, "", steps)
    cases = tuple(_cases(reader, data, steps, shared))
    if reader.problems:
        raise Invalid(problems=sorted(reader.problems, key=lambda each: (each.line or 0, each.column or 0)))
    return Rehearsal(playbook=playbook, names=steps.names, cases=cases)


def _playbook(reader: Reader, data: Mapping[str, Any], find: Find) -> Playbook | None:
    named = reader.text(data, "playbook", "", need=True)
    if not named:
        return None
    try:
        return find(named)
    except NotFound as error:
        mend = str(error.details.get("mend", ""))
        reader.note("unknown_playbook", error.message, "/playbook", mend)
    except Invalid as error:
        message = f"the playbook {shown(named)} is not right: {error.message}"
        reader.note("bad_playbook", message, "/playbook", "See `soar playbook check`.")
    return None


def _cases(reader: Reader, data: Mapping[str, Any], steps: Steps, shared: _Parts) -> list[Case]:
    found: list[Case] = []
    given = reader.take(data, "cases", "", list, [], need=True)
    if data.get("cases") == []:
        reader.note("empty", "there are no cases here", "/cases", "Write at least one.")
    names: set[str] = set()
    for index, raw in enumerate(given):
        at = f"/cases/{index}"
        case = reader.mapping(raw, at, "a case")
        if case is None:
            continue
        reader.known_keys(case, ("case", "given", "expect"), at, "a case")
        name = reader.text(case, "case", at, need=True)
        if name in names:
            reader.note("duplicate_case", f"two cases are called {shown(name)}", f"{at}/case", "Give one another name.")
        names.add(name)
        own = _given(reader, case, at, steps)
        expected = read_expected(reader, case, at, steps)
        line, _ = strict_yaml.at(reader.places.document, at)
        begun = _begun(reader, own.over(shared), at, steps.playbook)
        found.append(
            Case(name=name, line=line or 0, given=replace(begun, own=frozenset(own.outcomes)), expected=expected)
        )
    return found


def _begun(reader: Reader, parts: _Parts, at: str, playbook: Playbook) -> Given:
    """What a run of this case begins with; a variable that has no value is noted."""
    facts, inputs = parts.facts, {}
    before = len(reader.problems)
    try:
        inputs = initial_inputs(playbook, facts, parts.inputs)
    except Invalid as error:
        for each in error.problems:
            reader.note(each.code, each.message, f"{at}/given/inputs{each.pointer}", each.mend)
        if len(reader.problems) == before:
            reader.note(error.code, error.message, f"{at}/given/inputs")
    return Given(facts=facts, observables=tuple(parts.observables.values()), inputs=inputs, outcomes=parts.outcomes)


def _given(reader: Reader, data: Mapping[str, Any], pointer: str, steps: Steps) -> _Parts:
    if "given" not in data:
        return _Parts()
    at = f"{pointer}/given"
    given = reader.mapping(data["given"], at, "given")
    if given is None:
        return _Parts()
    reader.known_keys(given, _GIVEN, at, "given")
    severity = reader.word(given, "severity", at, [each.value for each in Severity])
    inputs = reader.take(given, "inputs", at, dict, {})
    return _Parts(
        Severity(severity) if severity in list(Severity) else None,
        reader.word(given, "determination", at, [each.value for each in Determination]),
        reader.take(given, "alert", at, dict, {}),
        _scope(reader, given, at),
        _observables(reader, given, at),
        inputs,
        read_outcomes(reader, given, at, steps),
    )


def _scope(reader: Reader, given: Mapping[str, Any], pointer: str) -> dict[str, dict[str, str]]:
    """Status of each thing in scope, by kind and id; a list is of affected ones."""
    raw = reader.take(given, "scope", pointer, dict, {})
    at = f"{pointer}/scope"
    reader.known_keys(raw, _SCOPE, at, "scope")
    found: dict[str, dict[str, str]] = {}
    for kind, things in raw.items():
        where = f"{at}/{escaped(kind)}"
        if isinstance(things, list):
            found[kind] = dict.fromkeys(reader.words(raw, kind, at), ScopeStatus.AFFECTED.value)
        elif isinstance(things, dict):
            words = [each.value for each in ScopeStatus]
            found[kind] = {name: reader.word(things, name, where, words) for name in things}
        else:
            reader.note("wrong_type", f"{kind} must be a list of ids, or id: status", where, "Write [ws-1, ws-2].")
    return found


def _observables(reader: Reader, given: Mapping[str, Any], pointer: str) -> dict[str, Observable]:
    """By id: `ipv4-addr:203.0.113.66: malicious`, or a mapping with `verdict` and `confidence`."""
    found: dict[str, Observable] = {}
    at = f"{pointer}/observables"
    raw = reader.take(given, "observables", pointer, dict, {})
    words = [each.value for each in Verdict]
    for name, said in raw.items():
        where = f"{at}/{escaped(name)}"
        kind, colon, value = name.partition(":")
        if not (kind and colon and value):
            message = f"{shown(name)} is no observable"
            reader.note("bad_observable", message, f"{where}#key", "Write type:value, as in ipv4-addr:203.0.113.66.")
            continue
        if isinstance(said, dict):
            reader.known_keys(said, ("verdict", "confidence"), where, "an observable")
            verdict = reader.word(said, "verdict", where, words, Verdict.UNKNOWN.value)
            confidence = reader.number(said, "confidence", where, CERTAIN, 0, CERTAIN)
        else:
            verdict, confidence = reader.word(raw, name, at, words, Verdict.UNKNOWN.value), CERTAIN
        if verdict in words:
            found[name] = Observable(type=kind, value=value, verdict=Verdict(verdict), confidence=confidence)
    return found
