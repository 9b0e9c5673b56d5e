"""What was expected of a case beside what came of it: every difference, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from soar.playbook.durations import Seconds, written
from soar.playbook.model import Playbook
from soar.rehearsal.model import Case, Expected, Way
from soar.rehearsal.scene import Performance
from soar.rehearsal.stage import Played
from soar.rehearsal.way import Line, lines, way_of


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected. `lines` show it step by step: `-` expected, `+` came, `!` other calls."""

    what: str
    expected: str
    got: str
    lines: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain data."""
        return {"what": self.what, "expected": self.expected, "got": self.got, "lines": list(self.lines)}


def differences(playbook: Playbook, names: Mapping[str, str], case: Case, played: Played) -> list[Difference]:
    """Everything in which a case came out otherwise than it says."""
    expected = case.expected
    found = [*_end(expected, played)]
    if expected.steps is not None:
        found += _steps(expected.steps, way_of(playbook, played))
    found += _order(expected, played)
    found += _named("approvals", expected.approvals, played.approvals)
    found += _named("waits", expected.waits, tuple(name for name, _ in played.waiting))
    found += _results(expected.results, _last_results(names, played))
    found += _values(expected.values, played.values)
    found += _contained(expected.contained, played.contained)
    found += [Difference("outcome", "used", f"never used: {each}") for each in played.unused]
    return found


def _end(expected: Expected, played: Played) -> Iterator[Difference]:
    reason = played.state.reason or "; ".join(f"{name} waits for {what}" for name, what in played.waiting)
    if expected.status is not None and expected.status != played.status:
        yield Difference("status", expected.status, f"{played.status} ({reason})" if reason else played.status)
    if expected.reason is not None and expected.reason not in reason:
        yield Difference("reason", f"... {expected.reason} ...", reason or "no reason")
    least, most = expected.at_least, expected.at_most
    if (least is not None and played.at < least) or (most is not None and played.at > most):
        yield Difference("takes", _bounds(least, most), _time(played.at))


def _bounds(least: Seconds | None, most: Seconds | None) -> str:
    if least == most and least is not None:
        return _time(least)
    words = [f"{word} {_time(bound)}" for word, bound in (("at least", least), ("at most", most)) if bound is not None]
    return " and ".join(words)


def _time(length: Seconds) -> str:
    return written(length) if length else "no time"


def _steps(expected: Way, got: Way) -> Iterator[Difference]:
    """Where the ways part, line by line, with the line before and after."""
    ours, theirs = list(lines(expected)), list(lines(got))
    matcher = SequenceMatcher(a=_keys(ours), b=_keys(theirs), autojunk=False)
    said: list[str] = []
    wrong: set[int] = set()
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        for one, other in zip(ours[i1:i2], theirs[j1:j2], strict=False) if kind == "equal" else ():
            same = one.entry.calls in (None, other.entry.calls)
            wrong |= set() if same else {len(said)}
            said.append(f"  {Line(other.depth, one.entry)}" if same else f"! {one}  (came: {_calls(other)})")
        if kind != "equal":
            changed = [*(f"- {each}" for each in ours[i1:i2]), *(f"+ {each}" for each in theirs[j1:j2])]
            wrong |= set(range(len(said), len(said) + len(changed)))
            said += changed
    if wrong:
        yield Difference("steps", _in_short(ours), _in_short(theirs), tuple(_near(said, wrong)))


def _keys(way: list[Line]) -> list[tuple[str, str]]:
    return [(each.depth, each.entry.step) for each in way]


def _calls(line: Line) -> str:
    return ", ".join(line.entry.calls or ()) or "no call"


def _in_short(way: list[Line]) -> str:
    return ", ".join(each.entry.step for each in way) or "none"


def _near(said: list[str], wrong: set[int]) -> Iterator[str]:
    """The wrong lines, each with its neighbours; what is left out is told."""
    kept = {index + by for index in wrong for by in (-1, 0, 1)}
    left_out = False
    for index, line in enumerate(said):
        if index in kept:
            yield line
        elif not left_out:
            yield "  ..."
        left_out = index not in kept


def _order(expected: Expected, played: Played) -> Iterator[Difference]:
    for chain in expected.before:
        for first, second in pairwise(chain):
            one, other = _places(first, played.performed), _places(second, played.performed)
            missing = [name for name, found in ((first, one), (second, other)) if not found]
            if missing:
                got = f"{' and '.join(missing)} never happened"
                yield Difference("before", f"{first} before {second}", got)
            elif max(one) > min(other):
                yield Difference("before", f"{first} before {second}", f"{second} came first")
    for pattern in expected.never:
        times = len(_places(pattern, played.performed))
        if times:
            yield Difference(
                "never", f"no {pattern}", "it happened once" if times == 1 else f"it happened {times} times"
            )


def _places(pattern: str, performed: tuple[Performance, ...]) -> list[int]:
    """When a step was performed, or a verb called, on any target or on one."""
    found = []
    for each in performed:
        if pattern == each.name:
            found.append(each.order)
            continue
        for order, call in each.calls:
            verb, _, target = call.partition(" ")
            if pattern in (verb, call, f"{each.name} {target}"):
                found.append(order)
    return found


def _named(what: str, expected: tuple[str, ...] | None, got: tuple[str, ...]) -> Iterator[Difference]:
    if expected is not None and expected != got:
        yield Difference(what, ", ".join(expected) or "none", ", ".join(got) or "none")


def _last_results(names: Mapping[str, str], played: Played) -> dict[str, str]:
    """The status of the last visit of each step."""
    return {
        names[visit.step_id]: "waiting" if visit.open else visit.status
        for visit in played.state.steps.values()
        if visit.step_id in names
    }


def _results(expected: Mapping[str, str], got: Mapping[str, str]) -> Iterator[Difference]:
    for name, status in expected.items():
        if got.get(name, "not reached") != status:
            yield Difference(f"results: {name}", status, got.get(name, "not reached"))


def _values(expected: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[Difference]:
    for path, value in expected.items():
        found: Any = got
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found != value or isinstance(found, bool) is not isinstance(value, bool):
            yield Difference(f"values: {path}", repr(value), "no value" if found is None else repr(found))


def _contained(expected: Mapping[str, str] | None, got: Mapping[str, str]) -> Iterator[Difference]:
    if expected is None:
        return
    for name in dict.fromkeys((*expected, *got)):
        one, other = expected.get(name, "not contained"), got.get(name, "not contained")
        if one != other:
            yield Difference(f"contained: {name}", one, other)
