"""What persons do to a run, told as stories: pause, resume, try again, pass over."""

from __future__ import annotations

from soar.engine.conductor import CancelRequested, members, skippable
from soar.engine.turn import broken
from tests.unit.playbook_runs import SAY, Told, book


def test_a_paused_run_takes_in_what_happens_and_asks_for_nothing_until_it_is_resumed() -> None:
    run = Told(
        book(f"- parallel:\n    - [{{id: a, {SAY}}}, {{id: b, {SAY}}}]\n    - [{{id: c, {SAY}}}, {{id: d, {SAY}}}]")
    )
    assert run.paused() == []
    assert run.state.status == "paused"
    assert run.ends("1-parallel/1/c") == []
    assert run.ends("1-parallel/0/a") == []
    assert [each.occurrence for each in run.state.held] == ["1-parallel/1/d", "1-parallel/0/b"]
    assert run.resumed() == ["action 1-parallel/1/d 1", "action 1-parallel/0/b 1"]
    assert run.resumed() == []


def test_the_time_of_what_is_held_begins_when_it_may_be_performed_and_a_delay_runs_on() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, delay: 5s, timeout: 10m, {SAY}}}"))
    run.paused()
    assert run.ends("a") == ["arm delay b 1 in 5"]
    assert run.fires("delay", "b") == []
    assert run.resumed() == ["action b 1", "arm timeout b 1 in 600"]


def test_a_paused_run_may_end_and_may_be_cancelled() -> None:
    one = book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}")
    run = Told(one)
    run.paused()
    run.ends("a")
    assert run.feed(CancelRequested(reason="enough")) == ["cancelled: enough"]
    assert run.state.held == ()
    run = Told(one)
    run.ends("a")
    run.paused()
    assert run.ends("b") == ["succeeded"]


def test_a_failed_run_goes_on_where_it_broke_and_not_where_its_handler_ended() -> None:
    more = f"handlers:\n  call:\n    - {{{SAY}}}\n"
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, on_failure: call, {SAY}}}\n- {{id: c, {SAY}}}", more))
    run.ends("a")
    assert run.ends("b", "failed", reason="no route") == ["action handlers/call/1-notify 1"]
    assert run.ends("handlers/call/1-notify") == ["failed: b: no route"]
    assert broken(run.state) == ["b"]
    assert run.tried_again("a") == []
    assert run.tried_again() == ["action b 2"]
    assert run.ends("b", "failed", attempt=2) == ["action handlers/call/1-notify#2 1"]
    run.ends("handlers/call/1-notify#2")
    assert run.tried_again("b") == ["action b 3"]
    assert run.ends("b", attempt=3) == ["action c 1"]
    assert run.ends("c") == ["succeeded"]


def test_each_branch_of_a_parallel_goes_on_where_it_broke_and_what_succeeded_stays_done() -> None:
    run = Told(
        book(
            f"- id: p\n  timeout: 10m\n  parallel:\n    - [{{id: a, {SAY}}}, {{id: b, {SAY}}}]\n"
            f"    - [{{id: c, {SAY}}}]\n    - [{{id: d, {SAY}}}]\n- {{id: e, {SAY}}}"
        )
    )
    run.ends("p/0/a")
    run.ends("p/1/c", "failed")
    assert run.fires("timeout", "p") == ["abandon p/2/d 1", "abandon p/0/b 1", "failed: p: ACTION_TIMEOUT"]
    assert broken(run.state) == ["p/0/b", "p/1/c", "p/2/d"]
    again = ["arm timeout p 2 in 600", "action p/0/b 2", "action p/1/c 2", "action p/2/d 2"]
    assert run.tried_again() == again
    assert run.fires("timeout", "p", 1) == []
    for place in ("p/0/b", "p/1/c"):
        assert run.ends(place, attempt=2) == []
    assert run.ends("p/2/d", attempt=2) == ["action e 1"]


def test_a_group_that_was_called_off_is_prepared_anew_as_a_whole() -> None:
    run = Told(book(f"- id: p\n  together: true\n  parallel:\n    - [{{id: a, {SAY}}}]\n    - [{{id: b, {SAY}}}]"))
    assert run.ends("p", "failed", reason="refused") == ["failed: p: refused"]
    assert run.tried_again() == ["prepare p 2"]
    assert [(each.occurrence, each.attempt) for each in members(run.playbook, run.state, "p")] == [
        ("p/0/a", 2), ("p/1/b", 2),
    ]  # fmt: skip
    assert run.ends("p", attempt=2) == ["action p/0/a 2", "action p/1/b 2"]


def test_a_step_that_is_passed_over_counts_as_skipped_and_its_branch_goes_on() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, delay: 5s, {SAY}}}\n- {{id: c, {SAY}}}"))
    assert run.passed_over("b") == []
    assert run.passed_over("a", "the team knows") == ["abandon a 1", "arm delay b 1 in 5"]
    assert (run.state.steps["a"].status, run.state.steps["a"].reason) == ("skipped", "skipped: the team knows")
    assert run.passed_over("b") == ["action c 1"]
    assert run.fires("delay", "b") == []
    run.ends("c", "failed")
    assert run.passed_over("c") == ["succeeded"]


def test_passing_one_broken_step_over_leaves_the_other_for_a_person_to_decide() -> None:
    run = Told(book(f"- id: p\n  parallel:\n    - [{{id: a, {SAY}}}]\n    - [{{id: b, {SAY}}}]\n- {{id: c, {SAY}}}"))
    run.ends("p/0/a", "failed")
    run.ends("p/1/b", "failed", reason="two of three")
    assert run.passed_over("p/0/a") == ["failed: p: p/1/b: two of three"]
    assert broken(run.state) == ["p/1/b"]
    assert run.passed_over("p/1/b") == ["action c 1"]


def test_a_held_step_that_is_passed_over_is_never_performed() -> None:
    run = Told(book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}\n- {{id: c, {SAY}}}"))
    run.paused()
    run.ends("a")
    assert run.passed_over("b") == []
    assert run.resumed() == ["action c 1"]


def test_a_group_with_open_branches_is_not_passed_over_as_a_whole() -> None:
    run = Told(book(f"- id: p\n  parallel:\n    - [{{id: a, {SAY}}}]\n    - [{{id: b, {SAY}}}]"))
    assert skippable(run.playbook, run.state) == ["p/0/a", "p/1/b"]
    before = run.state
    assert run.passed_over("p") == []
    assert run.state == before
