"""Values for a step: what is known, how a template is filled, what a run begins with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soar.engine.binding import bind, initial_inputs, turns, variables_at
from soar.errors import Invalid
from soar.playbook.model import Soar, Variable, one_step
from tests.unit.playbook_runs import SAY, Told, book


def test_a_handler_in_two_branches_sees_the_answers_of_its_own_branch() -> None:
    steps = f"- parallel: [[{{id: a, on_failure: call, {SAY}}}], [{{id: b, on_failure: call, {SAY}}}]]"
    more = "handlers:\n  call:\n    - {id: ask, manual: Which?, outputs: {n: int}}\n    - {id: more, manual: $ask.n}\n"
    run = Told(book(steps, more))
    for branch, step in (("1-parallel/0", "a"), ("1-parallel/1", "b")):
        run.ends(f"{branch}/{step}", "failed")
    run.ends("1-parallel/0/handlers/call/ask", n=1)
    run.ends("1-parallel/1/handlers/call/ask", n=2)
    for branch, number in (("1-parallel/0", 1), ("1-parallel/1", 2)):
        assert variables_at(run.playbook, run.state, f"{branch}/handlers/call/more") == {"ask": {"n": number}}


def test_outputs_of_a_loop_are_those_of_its_latest_turn() -> None:
    steps = "- {id: loop, while: 'alert:x = 1', max: 3, steps: [{id: ask, manual: How many?, outputs: {count: int}}]}"
    run = Told(book(steps), {"alert": {"x": 1}})
    run.ends("loop/1/ask", count=1)
    assert variables_at(run.playbook, run.state, "loop/2/ask") == {"ask": {"count": 1}}
    run.ends("loop/2/ask", count=2)
    assert variables_at(run.playbook, run.state, "later")["ask"] == {"count": 2}


def test_a_reference_alone_keeps_its_type_and_inside_a_text_becomes_words() -> None:
    values = {"hosts": ["a", "b"], "scan": {"found": True, "n": 3}, "proc": {"pid": 7}}
    assert bind({"h": "$hosts", "p": "$proc.pid", "l": ["$scan.found"]}, values) == {
        "h": ["a", "b"], "p": 7, "l": [True]
    }  # fmt: skip
    assert bind("on $hosts: $scan.found, $scan.n for $$5", values) == "on a, b: true, 3 for $5"


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        bind({"a": "$scan.files", "b": "and $other"}, {"scan": {}})
    assert [problem.message for problem in caught.value.problems] == [
        "$other has no value here", "$scan.files has no value here"
    ]  # fmt: skip


def test_a_step_turns_once_for_each_target_and_not_at_all_for_none() -> None:
    step = Soar(for_each="$hosts", as_="host")
    assert [each["host"] for each in turns(step, {"hosts": ["a", "b", "a"]})] == ["a", "b"]
    assert turns(step, {"hosts": []}) == []
    assert turns(Soar(), {"x": 1}) == [{"x": 1}]
    with pytest.raises(Invalid, match="wants a list"):
        turns(step, {"hosts": "a"})


INPUTS = """variables:
  hosts: {type: list, from: scope.hosts.affected}
  accounts: {type: list, from: scope.accounts.affected, required: false}
  watch_for: {type: duration, default: 72h}
  ticket: {type: str, required: false}
"""


def test_a_run_begins_with_what_was_given_found_or_set_as_default() -> None:
    playbook = book(f"- {{id: a, {SAY}}}", INPUTS)
    scope = {"scope": {"hosts": {"affected": ["ws-1"]}}}
    assert initial_inputs(playbook, scope, {}) == {"hosts": ["ws-1"], "accounts": [], "watch_for": 259_200}
    given = {"hosts": ["ws-2"], "watch_for": "1h", "ticket": "INC-1"}
    assert initial_inputs(playbook, scope, given) == {
        "hosts": ["ws-2"], "accounts": [], "watch_for": 3_600, "ticket": "INC-1"
    }  # fmt: skip


def test_every_wrong_input_is_told_at_once() -> None:
    playbook = book(f"- {{id: a, {SAY}}}", INPUTS)
    with pytest.raises(Invalid) as caught:
        initial_inputs(playbook, {}, {"ticket": 5, "watch_for": "soon", "hots": []})
    assert [problem.code for problem in caught.value.problems] == [
        "unknown_variable", "missing_value", "bad_duration", "wrong_type"
    ]  # fmt: skip
    assert caught.value.problems[0].mend == "Did you mean hosts?"


def test_a_constant_is_not_given_another_value_and_an_external_one_must_be_given() -> None:
    fixed = replace(
        one_step("drill", "Drill", Soar(verb="notify")),
        slug="",
        variables={"port": Variable(type="int", default=22, constant=True), "who": Variable(type="str", external=True)},
    )
    assert initial_inputs(fixed, {}, {"who": "ada", "port": 22}) == {"port": 22, "who": "ada"}
    with pytest.raises(Invalid) as refused:
        initial_inputs(fixed, {}, {"port": 23})
    assert [(each.code, each.pointer) for each in refused.value.problems] == [
        ("constant", "/port"), ("missing_value", "/who"),
    ]  # fmt: skip
