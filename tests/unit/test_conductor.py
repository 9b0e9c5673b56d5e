"""The conductor told as stories: one playbook, a few events, what comes next."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from soar.engine.conductor import (
    CancelRequested,
    Decision,
    Perform,
    StepEnded,
    feed,
    members,
)
from soar.engine.run_state import RunState
from soar.errors import Invalid
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.model import ActionStep, IfStep, WhileStep
from soar.playbook.yaml.yaml_form import load
from tests.unit.playbook_runs import SAY, Run, Told, book, ok, unreadable


def test_steps_follow_one_another_and_the_run_succeeds() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}"))
    assert run.todo == ["action a 1"]
    assert run.ends("a") == ["action b 1"]
    assert run.ends("b") == ["succeeded"]
    assert run.state.status == "succeeded"


def test_a_failure_that_nothing_takes_up_ends_the_run_with_its_reason() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}"))
    assert run.ends("a", "failed", reason="no route to host") == ["failed: a: no route to host"]


def test_a_failure_that_does_not_matter_is_passed_over() -> None:
    run = Told(book(f"- {{id: a, continue_on_failure: true, {SAY}}}\n- {{id: b, {SAY}}}"))
    assert run.ends("a", "failed") == ["action b 1"]
    assert run.ends("b") == ["succeeded"]


@pytest.mark.parametrize(("said", "then"), [("", "failed: a: two of three"), ("partial: ok, ", "action b 1")])
def test_partial_is_a_failure_unless_the_step_says_that_partial_is_ok(said: str, then: str) -> None:
    run = Told(book(f"- {{id: a, {said}{SAY}}}\n- {{id: b, {SAY}}}"))
    assert run.ends("a", "partial", reason="two of three") == [then]
    assert run.state.steps["a"].status == "partial"


def test_a_handler_that_continues_saves_the_run() -> None:
    more = f"handlers:\n  call:\n    - {{{SAY}}}\n    - continue: c\n"
    run = Told(book(f"- {{id: a, on_failure: call, {SAY}}}\n- {{id: b, {SAY}}}\n- {{id: c, {SAY}}}", more))
    assert run.ends("a", "failed") == ["action handlers/call/1-notify 1"]
    assert run.ends("handlers/call/1-notify") == ["action c 1"]
    assert run.ends("c") == ["succeeded"]


def test_a_handler_that_does_not_continue_ends_the_run_as_failed() -> None:
    run = Told(book(f"- {{id: a, on_failure: call, {SAY}}}", f"handlers:\n  call:\n    - {{{SAY}}}\n"))
    run.ends("a", "failed", reason="refused")
    assert run.ends("handlers/call/1-notify") == ["failed: a: refused"]


def test_two_visits_of_a_handler_have_two_names() -> None:
    more = f"handlers:\n  call:\n    - {{{SAY}}}\n    - continue: c\n"
    steps = f"- {{id: a, on_failure: call, continue_on_failure: false, {SAY}}}\n- {{id: c, {SAY}}}"
    run = Told(book(steps, more))
    looped = dict(run.playbook.workflow)
    c = next(step for step in looped.values() if step.soar and step.soar.slug == "c")
    a = next(step for step in looped.values() if step.soar and step.soar.slug == "a")
    looped[c.id] = replace(c, on_failure=a.on_failure)
    run = Told(replace(run.playbook, workflow=looped))
    run.ends("a", "failed")
    run.ends("handlers/call/1-notify")
    assert run.ends("c", "failed") == ["action handlers/call/1-notify#2 1"]
    assert run.ends("handlers/call/1-notify#2") == ["action c#2 1"]


def test_the_last_resort_is_entered_once_and_the_run_has_failed() -> None:
    more = f"handlers:\n  call:\n    - {{{SAY}}}\non_exception: call\n"
    run = Told(book(f"- {{id: a, {SAY}}}", more))
    assert run.ends("a", "failed", reason="gone") == ["action handlers/call/1-notify 1"]
    assert run.ends("handlers/call/1-notify") == ["failed: a: gone"]
    run = Told(run.playbook)
    run.ends("a", "failed")
    assert run.ends("handlers/call/1-notify", "failed", reason="down too") == [
        "failed: handlers/call/1-notify: down too"
    ]


GROUP = f"""
- id: group
  parallel:
    - - {{id: a, {SAY}}}
      - {{id: b, {SAY}}}
    - - {{id: c, {SAY}}}
  TOGETHER
  on_failure: call
- {{id: d, {SAY}}}
"""
CALL = f"handlers:\n  call:\n    - {{{SAY}}}\n"


def test_branches_run_side_by_side_and_the_group_waits_for_all() -> None:
    run = Told(book(GROUP.replace("TOGETHER\n", "name: Group\n"), CALL))
    assert run.todo == ["action group/0/a 1", "action group/1/c 1"]
    assert run.ends("group/1/c") == []
    assert run.ends("group/0/a") == ["action group/0/b 1"]
    assert run.ends("group/0/b") == ["action d 1"]


def test_a_failure_in_a_branch_fails_the_group_after_the_siblings_ended() -> None:
    run = Told(book(GROUP.replace("TOGETHER\n", "name: Group\n"), CALL))
    assert run.ends("group/1/c", "failed", reason="refused") == []
    assert run.ends("group/0/a") == ["action group/0/b 1"]
    assert run.ends("group/0/b") == ["action handlers/call/1-notify 1"]
    assert run.ends("handlers/call/1-notify") == ["failed: group: group/1/c: refused"]


def test_a_group_that_acts_together_is_prepared_before_any_branch_opens() -> None:
    run = Told(book(GROUP.replace("TOGETHER", "together: true"), CALL))
    assert run.todo == ["prepare group 1"]
    foreseen = members(run.playbook, run.state, "group")
    assert [each.occurrence for each in foreseen] == ["group/0/a", "group/0/b", "group/1/c"]
    assert {each.branch for each in foreseen} == {"group/0", "group/1"}
    assert run.ends("group") == ["action group/0/a 1", "action group/1/c 1"]


def test_a_group_whose_preparation_failed_opens_nothing() -> None:
    run = Told(book(GROUP.replace("TOGETHER", "together: true"), CALL))
    assert run.ends("group", "failed", reason="denied") == ["action handlers/call/1-notify 1"]
    assert run.state.steps["group"].reason == "denied"
    assert "group/0" not in run.state.branches


def test_delay_comes_first_and_only_once() -> None:
    run = Told(book(f"- {{id: a, delay: 500ms, retry: {{max: 2, backoff: 30s}}, {SAY}}}"))
    assert run.todo == ["arm delay a 1 in 0.5"]
    assert run.fires("delay", "a") == ["action a 1"]
    assert run.ends("a", "failed") == ["arm retry a 2 in 30"]
    assert run.fires("retry", "a", 2) == ["action a 2"]


def test_a_failed_attempt_is_made_again_with_growing_pauses() -> None:
    run = Told(book(f"- {{id: a, retry: {{max: 3, backoff: 30s}}, {SAY}}}"))
    assert run.ends("a", "failed") == ["arm retry a 2 in 30"]
    assert run.state.steps["a"].status == "waiting_retry"
    run.fires("retry", "a", 2)
    assert run.ends("a", "failed", attempt=2) == ["arm retry a 3 in 60"]
    run.fires("retry", "a", 3)
    assert run.ends("a", "failed", attempt=3, reason="still down") == ["failed: a: still down"]


def test_a_late_answer_of_a_past_attempt_changes_nothing() -> None:
    run = Told(book(f"- {{id: a, retry: {{max: 3}}, {SAY}}}"))
    run.ends("a", "failed")
    run.fires("retry", "a", 2)
    before = run.state
    assert run.ends("a", "ok", attempt=1) == []
    assert run.fires("retry", "a", 2) == []
    assert run.state == before
    assert run.ends("a", "ok", attempt=2) == ["succeeded"]
    assert run.ends("a", "ok", attempt=2) == []


def test_what_timed_out_is_abandoned_and_not_made_again_since_it_may_have_acted() -> None:
    run = Told(book(f"- {{id: a, timeout: 10m, retry: {{max: 3}}, {SAY}}}"))
    assert run.todo == ["action a 1", "arm timeout a 1 in 600"]
    assert run.fires("timeout", "a") == ["abandon a 1", "failed: a: ACTION_TIMEOUT"]


def test_each_attempt_has_its_own_timeout() -> None:
    run = Told(book(f"- {{id: a, timeout: 10m, retry: {{max: 2}}, {SAY}}}"))
    run.ends("a", "failed")
    assert run.fires("retry", "a", 2) == ["action a 2", "arm timeout a 2 in 600"]
    assert run.fires("timeout", "a", 1) == []
    assert run.fires("timeout", "a", 2) == ["abandon a 2", "failed: a: ACTION_TIMEOUT"]


def test_the_timeout_of_a_group_ends_everything_in_it() -> None:
    run = Told(book(GROUP.replace("TOGETHER", "timeout: 1h"), CALL))
    run.ends("group/1/c")
    assert run.fires("timeout", "group") == ["abandon group/0/a 1", "action handlers/call/1-notify 1"]
    assert run.state.steps["group/0/a"].status == "cancelled"
    assert run.ends("group/0/a") == []


def test_the_timeout_of_a_loop_counts_from_its_first_turn() -> None:
    steps = f"- {{id: loop, while: 'alert:x = 1', max: 5, timeout: 1h, steps: [{{id: a, {SAY}}}]}}"
    run = Told(book(steps), {"alert": {"x": 1}})
    assert run.todo == ["arm timeout loop 1 in 3600", "action loop/1/a 1"]
    run.ends("loop/1/a")
    assert run.fires("timeout", "loop") == ["abandon loop/2/a 1", "failed: loop: ACTION_TIMEOUT"]


def test_the_members_of_a_group_are_found_in_groups_inside_it_but_not_behind_a_decision() -> None:
    steps = f"""
- id: g
  together: true
  parallel:
    - - {{id: a, {SAY}}}
      - parallel: [[{{id: b, {SAY}}}], [{{id: c, {SAY}}}]]
    - - if: alert:x = 1
        then: [{{id: never, {SAY}}}]
      - {{id: d, {SAY}}}
"""
    run = Told(book(steps))
    assert [each.occurrence for each in members(run.playbook, run.state, "g")] == [
        "g/0/a", "g/1/d", "g/0/2-parallel/0/b", "g/0/2-parallel/1/c"
    ]  # fmt: skip


def test_the_last_resort_of_a_foreign_playbook_does_not_make_a_failed_run_good() -> None:
    playbook = book(f"- {{id: a, {SAY}}}")
    end = next(key for key in playbook.workflow if key.startswith("end--"))
    run = Told(replace(playbook, workflow_exception=end))
    assert run.ends("a", "failed", reason="gone") == ["failed: a: gone"]


IF = f"- if: $ask.back = true\n  then: [{{id: fine, {SAY}}}]\n  else: [{{id: not_yet, {SAY}}}]"


@pytest.mark.parametrize(("back", "then"), [(True, "2-if/then/fine"), (False, "2-if/else/not_yet")])
def test_a_condition_reads_what_an_earlier_step_answered(back: bool, then: str) -> None:
    run = Told(book("- {id: ask, manual: Is it back?, outputs: {back: bool}}\n" + IF))
    assert run.todo == ["manual ask 1"]
    assert run.ends("ask", back=back) == [f"action {then} 1"]
    assert run.ends(then) == ["succeeded"]


def test_a_condition_that_does_not_hold_and_has_no_else_is_skipped() -> None:
    run = Told(book(f"- {{id: may, if: 'alert:x = 1', then: [{{{SAY}}}]}}\n- {{id: b, {SAY}}}"), {"alert": {"x": 2}})
    assert run.todo == ["action b 1"]
    assert run.state.steps["may"].status == "skipped"


def test_a_loop_turns_until_its_condition_ends_it() -> None:
    run = Told(
        book(f"- {{id: loop, while: 'alert:on = true', max: 5, steps: [{{id: a, {SAY}}}]}}"), {"alert": {"on": True}}
    )
    assert run.todo == ["action loop/1/a 1"]
    assert run.ends("loop/1/a") == ["action loop/2/a 1"]
    run.facts = {"alert": {"on": False}}
    assert run.ends("loop/2/a") == ["succeeded"]


def test_a_loop_that_will_not_end_has_failed_after_its_bound() -> None:
    run = Told(
        book(f"- {{id: loop, while: 'alert:on = true', max: 2, steps: [{{id: a, {SAY}}}]}}"), {"alert": {"on": True}}
    )
    run.ends("loop/1/a")
    assert run.ends("loop/2/a") == ["failed: loop: the condition still holds after 2 turns"]


def test_a_switch_opens_the_branch_of_its_case() -> None:
    steps = f"""
- id: which
  switch: $kind
  cases: {{mail: [{{id: m, {SAY}}}], web: [{{id: w, {SAY}}}]}}
  default: [{{id: other, {SAY}}}]
"""
    playbook = book(steps, "variables: {kind: {type: str}}\n")
    assert Told(playbook, kind="web").todo == ["action which/web/w 1"]
    assert Told(playbook, kind="usb").todo == ["action which/default/other 1"]
    assert Told(playbook).todo == ["action which/default/other 1"]


@pytest.mark.parametrize(
    ("said", "then"),
    [(True, "action 1-if/then/a 1"), ("False", "succeeded"), ("maybe", "failed: 1-if: 'maybe' is no way to go")],
)
def test_a_condition_that_cannot_be_read_is_asked_of_a_person(said: Any, then: str) -> None:
    playbook = book(f"- {{if: 'alert:x = 1', then: [{{id: a, {SAY}}}]}}")
    workflow = {
        key: replace(step, condition="The boss agrees") if isinstance(step, IfStep) else step
        for key, step in playbook.workflow.items()
    }
    run = Told(replace(playbook, workflow=workflow))
    assert run.todo == ["decide 1-if 1"]
    assert run.ends("1-if", branch=said) == [then]


def test_each_turn_of_an_unreadable_loop_is_asked_anew() -> None:
    playbook = book(f"- {{id: loop, while: 'alert:x = 1', max: 3, steps: [{{id: a, {SAY}}}]}}")
    workflow = {
        key: replace(step, condition="Again?") if isinstance(step, WhileStep) else step
        for key, step in playbook.workflow.items()
    }
    run = Told(replace(playbook, workflow=workflow))
    assert run.ends("loop", branch=True) == ["action loop/1/a 1"]
    assert run.ends("loop/1/a") == ["decide loop 2"]
    assert run.ends("loop", branch=True) == []
    assert run.ends("loop", attempt=2, branch=False) == ["succeeded"]


def test_cancel_abandons_what_is_performed_and_drops_what_waits() -> None:
    steps = f"- parallel:\n    - [{{id: a, {SAY}}}]\n    - [{{id: b, delay: 1h, {SAY}}}]"
    run = Told(book(steps))
    assert run.feed(CancelRequested(reason="false alarm")) == ["abandon 1-parallel/0/a 1", "cancelled: false alarm"]
    assert {visit.status for visit in run.state.steps.values()} == {"cancelled"}
    assert run.fires("delay", "1-parallel/1/b") == []


def test_a_thousand_steps_that_end_at_once_do_not_exhaust_the_stack() -> None:
    steps = "\n".join(f"- {{if: 'alert:x = 1', then: [{{{SAY}}}]}}" for _ in range(1_000))
    assert Told(book(steps)).todo == ["succeeded"]


def test_a_foreign_playbook_that_goes_in_circles_ends() -> None:
    playbook = book(
        f"- {{id: a, if: 'alert:x = 1', then: [{{{SAY}}}]}}\n- {{id: b, if: 'alert:x = 1', then: [{{{SAY}}}]}}"
    )
    workflow = dict(playbook.workflow)
    a, b = (next(s for s in workflow.values() if s.soar and s.soar.slug == name) for name in "ab")
    workflow[b.id] = replace(b, on_success=a.id)
    assert Told(replace(playbook, workflow=workflow)).todo == ["failed: a: the playbook goes in circles"]


def test_a_foreign_playbook_runs_as_a_question_to_a_person(samples: Any) -> None:
    import json

    document = json.loads((samples / "cacao/playbooks-oasis/spec-3.1-example.json").read_text())
    playbook = from_document(document)
    run = Told(playbook, data_exfil_site="198.51.100.7")
    action = next(step for step in playbook.workflow.values() if isinstance(step, ActionStep))
    assert run.todo == [f"manual {action.id} 1"]
    assert run.ends(action.id) == ["succeeded"]


def test_a_run_can_be_taken_up_from_its_stored_state() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}"))
    stored = RunState.from_plain(run.state.as_plain())
    decision = feed(run.playbook, stored, StepEnded(occurrence="a", attempt=1, result="ok"), {})
    assert isinstance(decision, Decision)
    assert decision.state.steps["b"].status == "running"


@pytest.mark.parametrize("data", [{}, {"status": "odd"}, {"status": "running", "steps": [{"id": 3}]}])
def test_state_that_nobody_wrote_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        RunState.from_plain(data)


def test_the_shipped_playbook_for_a_compromised_host_runs_to_its_end(library: Any) -> None:
    playbook = load((library / "compromised-host.yaml").read_text())

    def answer(todo: Perform) -> StepEnded:
        outputs: dict[str, dict[str, Any]] = {
            "scan": {"malware_found": True, "files": [], "processes": []}, "confirm": {"restored": False},
        }  # fmt: skip
        return replace(ok(todo), outputs=outputs.get(todo.occurrence, {}))

    run = Run(playbook, Random(1), answer).begin().to_the_end()
    assert run.state.status == "succeeded"
    order = [todo.occurrence for todo in run.performed]
    assert order[0] == "contain"
    assert order.index("found/then/kill") < order.index("found/then/clean") < order.index("check")
    assert order[-1] == "11-if/then/tell"


@pytest.fixture
def library() -> Any:
    from tests.conftest import ROOT

    return ROOT / "playbooks" / "library"


def test_the_generator_of_unreadable_conditions_makes_some() -> None:
    playbook = book(f"- {{if: 'alert:x = 1', then: [{{{SAY}}}]}}")
    assert any(unreadable(playbook, Random(seed)) != playbook for seed in range(20))
