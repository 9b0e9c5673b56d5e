"""A rehearsal is read strictly: every mistake with its line and column, all at once, and nothing hostile gets in."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.errors import Invalid, NotFound, Problem
from soar.playbook.model import Playbook
from soar.rehearsal.reading import load
from soar.rehearsal.rehearsing import rehearse
from tests.unit.playbook_runs import SAY, book

PLAYBOOK = book(
    f"- {{id: a, {SAY}}}\n"
    "- {id: cut, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 24h}\n"
    "- {id: scan, do: scan, with: {incident: incident, evidence: []}}\n"
    "- {id: ask, manual: Is it?, outputs: {back: bool}}\n"
    f"- {{id: which, if: $ask.back = true, then: [{{id: b, {SAY}}}]}}",
    "variables:\n  hosts: {type: list, from: scope.hosts.affected}\n",
)
GOOD = """\
playbook: story
given:
  scope: {hosts: [ws-1]}
cases:
  - case: one
    given:
      severity: high
      steps:
        cut: {targets: {ws-1: ok}}
        ask: {answer: {back: true}}
    expect:
      status: succeeded
      steps: [a, cut, scan, ask, b]
"""


def problems(text: str) -> list[str]:
    """`line:column code` of each problem."""
    with pytest.raises(Invalid) as caught:
        load(text, lambda _: PLAYBOOK)
    return [f"{each.line}:{each.column} {each.code}" for each in caught.value.problems]


def test_a_right_one_is_read_and_passes() -> None:
    rehearsal = load(GOOD, lambda _: PLAYBOOK)
    assert [each.name for each in rehearsal.cases] == ["one"]
    assert [each.differences for each in rehearse(rehearsal)] == [()]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("playbook: story", "playbok: story", ["1:1 unknown_key", "1:1 missing_key"]),
        ("severity: high", "severity: hgih", ["7:17 unknown_word"]),
        ("cut: {targets", "cutt: {targets", ["9:9 unknown_step"]),
        ("ws-1: ok", "ws-1: okay", ["9:31 unknown_word"]),
        ("{targets: {ws-1: ok}}", "broken", ["9:14 unknown_word"]),
        ("{targets: {ws-1: ok}}", "[]", ["9:14 empty"]),
        ("{targets: {ws-1: ok}}", "{outputs: {found: 1}}", ["9:25 unknown_output"]),
        ("{targets: {ws-1: ok}}", "{takes: 5}", ["9:22 bad_duration"]),
        ("{targets: {ws-1: ok}}", "{answer: {back: true}}", ["9:15 unknown_key"]),
        ("{targets: {ws-1: ok}}", "{approval: maybe}", ["9:25 unknown_word"]),
        ("{answer: {back: true}}", "{answer: {back: 1}}", ["10:30 wrong_type"]),
        ("{answer: {back: true}}", "{takes: 1h}", ["10:14 missing_key"]),
        ("{answer: {back: true}}", "{answer: {bakc: true}}", ["10:23 missing_key", "10:24 unknown_key"]),
        ("status: succeeded", "status: done", ["12:15 unknown_word"]),
        ("[a, cut, scan, ask, b]", "[a, cut, scna]", ["13:23 unknown_step"]),
        ("[a, cut, scan, ask, b]", "[cut: [isolate ws-1]]", ["13:21 bad_call"]),
        ("[a, cut, scan, ask, b]", "[1]", ["13:15 wrong_type"]),
        ("  scope: {hosts: [ws-1]}", "  scope: {hosts: []}", ["7:7 missing_value"]),
        ("  scope: {hosts: [ws-1]}", "  scope: {host: [ws-1]}", ["3:11 unknown_key", "7:7 missing_value"]),
        ("  scope: {hosts: [ws-1]}", "  observables: {x: malicious}", ["3:17 bad_observable", "7:7 missing_value"]),
        ("    expect:\n", "    expects:\n", ["5:5 missing_key", "11:5 unknown_key"]),
    ],
)
def test_every_mistake_is_told_with_its_place(was: str, becomes: str, said: list[str]) -> None:
    assert was in GOOD
    assert problems(GOOD.replace(was, becomes, 1)) == said


def test_all_mistakes_are_told_at_once_with_a_hint() -> None:
    text = GOOD.replace("severity: high", "severity: hgih").replace("cut: {targets", "cutt: {targets")
    with pytest.raises(Invalid) as caught:
        load(text, lambda _: PLAYBOOK)
    assert [each.mend for each in caught.value.problems] == ["Did you mean high?", "Did you mean cut?"]


def test_two_cases_of_one_name_are_refused() -> None:
    again = GOOD + GOOD[GOOD.index("  - case") :]
    assert problems(again) == ["14:11 duplicate_case"]


def test_a_playbook_that_is_not_there_or_not_right_is_told_at_its_name() -> None:
    def missing(name: str) -> Playbook:
        raise NotFound(f"no {name}")

    def broken(_: str) -> Playbook:
        return book("- {id: a, do: fly}")

    for find, code in ((missing, "unknown_playbook"), (broken, "bad_playbook")):
        with pytest.raises(Invalid) as caught:
            load(GOOD, find)
        assert [(each.code, each.line, each.column) for each in caught.value.problems] == [(code, 1, 11)]


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a: &x 1\nb: *x", "a: !!python/object:os.system 1", "[" * 100_000, "playbook: " + "x" * 10_000_000,
     "playbook: story\nplaybook: story", "playbook: story\ncases: 1", "playbook: story\ncases: [1, [], {}]"],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_hostile_text_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    assert problems(text)
    assert time.perf_counter() - began < 1


WORDS = [*sorted({word for word in GOOD.split() if word}), "{}", "[]", "1", "null", "-1", "''"]


@settings(max_examples=150)
@given(st.data())
def test_a_rehearsal_that_was_changed_anywhere_is_refused_or_rehearsed_and_never_breaks(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        index = data.draw(st.integers(0, len(words) - 1))
        words[index] = data.draw(st.sampled_from(WORDS))
        lines[at] = " ".join(words)
    found: list[Problem] = []
    try:
        assert rehearse(load("\n".join(lines), lambda _: PLAYBOOK))
    except Invalid as error:
        found = list(error.problems)
    assert all(each.line and each.code and each.message for each in found)
