"""Reads what a case expects: `expect:` of a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soar.playbook.yaml.fields import Reader
from soar.rehearsal.model import ENDS, STATUSES, STEP_STATUSES, Entry, Expected, SideBySide, Way
from soar.rehearsal.outcomes import Steps
from soar.strict_text import escaped, shown
from soar.verbs import VERBS

_KEYS = (
    "status", "reason", "steps", "before", "never", "results", "approvals", "waits", "values", "contained", "takes",
)  # fmt: skip


def read_expected(reader: Reader, case: Mapping[str, Any], pointer: str, steps: Steps) -> Expected:
    """What is expected of one case. Something must be."""
    at = f"{pointer}/expect"
    if "expect" not in case:
        reader.note("missing_key", "expect is missing", pointer, "Add expect: what must come of it.")
        return Expected()
    data = reader.mapping(case["expect"], at, "expect")
    if data is None:
        return Expected()
    reader.known_keys(data, _KEYS, at, "expect")
    if not data:
        reader.note("empty", "nothing is expected here", at, "Write at least the status.")
    least, most = _takes(reader, data, at)
    return Expected(
        status=reader.word(data, "status", at, STATUSES) or None,
        reason=reader.text(data, "reason", at) or None,
        steps=_way(reader, data["steps"], f"{at}/steps", steps) if "steps" in data else None,
        before=_before(reader, data, at, steps),
        never=_patterns(reader, data, "never", at, steps),
        results=_results(reader, data, at, steps),
        approvals=_named(reader, data, "approvals", at, steps),
        waits=_named(reader, data, "waits", at, steps),
        values=reader.take(data, "values", at, dict, {}),
        contained=_contained(reader, data, at),
        at_least=least,
        at_most=most,
    )


def _way(reader: Reader, raw: Any, at: str, steps: Steps) -> Way:
    """A step, a step with its calls, or a list of branches."""
    if not isinstance(raw, list):
        reader.note("wrong_type", "a list of steps is wanted here", at, "Write `- STEP` below it.")
        return ()
    found: list[Entry | SideBySide] = []
    for index, each in enumerate(raw):
        where = f"{at}/{index}"
        if isinstance(each, list):
            branches = [_way(reader, branch, f"{where}/{number}", steps) for number, branch in enumerate(each)]
            found.append(SideBySide(tuple(branches)))
        elif isinstance(each, str):
            _known(reader, each, where, steps)
            found.append(Entry(each))
        elif isinstance(each, dict) and len(each) == 1:
            ((name, calls),) = each.items()
            _known(reader, name, f"{where}/{escaped(name)}#key", steps)
            found.append(Entry(name, _calls(reader, {name: [] if calls is None else calls}, name, where)))
        else:
            mend = "Write `- isolate`, `- isolate: [isolate_host ws-1]`, or a list of branches."
            reader.note("wrong_type", "this is no step", where, mend)
    return tuple(found)


def _calls(reader: Reader, data: Mapping[str, Any], name: str, at: str) -> tuple[str, ...]:
    calls = reader.words(data, name, at)
    for index, call in enumerate(calls):
        verb, blank, target = call.partition(" ")
        if not (verb in VERBS and blank and target):
            mend = "Write a verb and its target, as in isolate_host ws-1."
            reader.note("bad_call", f"{shown(call)} is no call", f"{at}/{escaped(name)}/{index}", mend)
    return calls


def _known(reader: Reader, name: str, at: str, steps: Steps) -> None:
    if name not in steps.by_name:
        reader.note("unknown_step", f"the playbook has no step {shown(name)}", at, steps.near(name))


def _named(reader: Reader, data: Mapping[str, Any], key: str, at: str, steps: Steps) -> tuple[str, ...] | None:
    if key not in data:
        return None
    names = reader.words(data, key, at)
    for index, name in enumerate(names):
        _known(reader, name, f"{at}/{key}/{index}", steps)
    return names


def _patterns(reader: Reader, data: Mapping[str, Any], key: str, at: str, steps: Steps) -> tuple[str, ...]:
    """Steps, verbs, or one of these with a target behind it."""
    patterns = reader.words(data, key, at)
    for index, pattern in enumerate(patterns):
        if pattern in steps.by_name or pattern.partition(" ")[0] in VERBS:
            continue
        _known(reader, pattern.partition(" ")[0], f"{at}/{key}/{index}", steps)
    return patterns


def _before(reader: Reader, data: Mapping[str, Any], at: str, steps: Steps) -> tuple[tuple[str, ...], ...]:
    chains = reader.take(data, "before", at, list, [])
    found = []
    for index, chain in enumerate(chains):
        where = f"{at}/before/{index}"
        if not isinstance(chain, list) or len(chain) < 2:
            reader.note("wrong_type", "a list of two or more is wanted here", where, "Write [isolate, collect].")
            continue
        found.append(_patterns(reader, {str(index): chain}, str(index), f"{at}/before", steps))
    return tuple(found)


def _results(reader: Reader, data: Mapping[str, Any], at: str, steps: Steps) -> dict[str, str]:
    found = {}
    raw = reader.take(data, "results", at, dict, {})
    for name in raw:
        _known(reader, name, f"{at}/results/{escaped(name)}#key", steps)
        found[name] = reader.word(raw, name, f"{at}/results", STEP_STATUSES)
    return found


def _contained(reader: Reader, data: Mapping[str, Any], at: str) -> dict[str, str] | None:
    """What became of each containment, by `verb target`."""
    if "contained" not in data:
        return None
    raw = reader.take(data, "contained", at, dict, {})
    for name in raw:
        verb, _, target = name.partition(" ")
        if not target or verb not in VERBS or not VERBS[verb].contains:
            mend = "Write a verb that contains and its target, as in isolate_host ws-1."
            message = f"{shown(name)} is no containment"
            reader.note("bad_call", message, f"{at}/contained/{escaped(name)}#key", mend)
    return {name: reader.word(raw, name, f"{at}/contained", ENDS) for name in raw}


def _takes(reader: Reader, data: Mapping[str, Any], at: str) -> tuple[Any, Any]:
    """The bounds of the simulated time: `takes: 2h` is exact."""
    raw = data.get("takes")
    if not isinstance(raw, dict):
        exact = reader.seconds(data, "takes", at) if "takes" in data else None
        return exact, exact
    where = f"{at}/takes"
    reader.known_keys(raw, ("at_least", "at_most"), where, "takes")
    bounds = [reader.seconds(raw, key, where) if key in raw else None for key in ("at_least", "at_most")]
    return bounds[0], bounds[1]
