"""What holds for every playbook and every order of events."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soar.engine.conductor import Abandon, Decision, Perform, feed, members
from soar.engine.run_state import OPEN, RunState
from soar.engine.signals import ResumeRequested, RetryRequested
from soar.engine.turn import MOVES, broken
from soar.playbook.cacao.cacao_form import from_document, to_document
from tests.unit.playbook_runs import Run, anything, flags, ok, randoms, written

COUNTS: Counter[str] = Counter()
fewer = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def numbers() -> Any:
    yield
    print("\nlaws of the conductor:", ", ".join(f"{count} {what}" for what, count in sorted(COUNTS.items())))


def is_over(run: Run) -> None:
    assert len(run.finished) == 1
    assert run.state.status == run.finished[0].status
    assert [visit for visit in run.state.steps.values() if visit.status in OPEN] == []
    assert [branch for branch in run.state.branches.values() if branch.status == "running"] == []
    assert run.performing == []


def reachable() -> dict[str, set[str]]:
    """Which status can follow which within one decision."""
    after: dict[str, set[str]] = {status: {status} for status, _ in MOVES}
    for _ in MOVES:
        for (status, _happens), new in MOVES.items():
            for reached in after.values():
                if status in reached:
                    reached.add(new)
    return after


REACHABLE = reachable()


def watched(run: Run, event: Any, decision: Decision) -> None:
    """After every event: the state survives storage, and this event or an older one, said again, changes nothing."""
    stored = json.loads(json.dumps(decision.state.as_plain(), sort_keys=True))
    assert RunState.from_plain(stored) == decision.state
    if event is not None:
        run.past.append(event)
        for old in (event, run.random.choice(run.past)):
            assert feed(run.playbook, decision.state, old, run.facts) == Decision(state=decision.state)
    COUNTS["states stored and read back"] += 1


@fewer
@given(randoms)
def test_every_run_ends_and_performs_nothing_twice(random: Random) -> None:
    run = Run(written(random), random, anything(random), flags(random), fickle=True, after_each=watched)
    run.begin().to_the_end()
    is_over(run)
    done = Counter((todo.occurrence, todo.attempt) for todo in run.performed)
    assert max(done.values(), default=1) == 1
    COUNTS["runs with ends of all kinds"] += 1
    COUNTS["events"] += run.events
    COUNTS["performances"] += len(run.performed)
    COUNTS[f"runs {run.state.status}"] += 1


@fewer
@given(randoms)
def test_steps_move_by_the_table_alone(random: Random) -> None:
    before: dict[str, str] = {}

    def compare(run: Run, _event: Any, decision: Decision) -> None:
        for name, visit in decision.state.steps.items():
            old = before.get(name, "pending")
            assert visit.status in REACHABLE.get(old, {old}), f"{name}: {old} -> {visit.status}"
            before[name] = visit.status

    Run(written(random), random, anything(random), flags(random), after_each=compare).begin().to_the_end()


@fewer
@given(randoms, st.integers(0, 2**32), st.integers(0, 2**32))
def test_when_all_goes_well_the_order_of_events_does_not_matter(random: Random, one: int, other: int) -> None:
    playbook, facts = written(random), flags(random)
    ends = []
    for seed in (one, other):
        run = Run(playbook, Random(seed), ok, facts).begin().to_the_end(timeouts=False)
        is_over(run)
        ends.append((run.state.status, {name: visit.status for name, visit in run.state.steps.items()}))
    assert ends[0] == ends[1]
    COUNTS["pairs of orders"] += 1


@fewer
@given(randoms, st.integers(0, 40))
def test_cancel_ends_a_run_at_any_moment(random: Random, after: int) -> None:
    run = Run(written(random), random, anything(random), flags(random)).begin()
    for _ in range(after):
        event = None if run.finished else run.next_event()
        if event is not None:
            run.feed(event)
    if run.finished:
        assert run.cancel() == Decision(state=run.state)
        return
    waiting = {(todo.occurrence, todo.attempt) for todo in run.performing}
    decision = run.cancel()
    abandoned = {(todo.occurrence, todo.attempt) for todo in decision.todo if isinstance(todo, Abandon)}
    assert abandoned == waiting
    is_over(run)
    assert run.state.status == "cancelled"
    assert run.state.reason == "enough"
    COUNTS["runs cancelled midway"] += 1


@fewer
@given(randoms)
def test_the_members_of_a_group_are_the_actions_that_it_then_performs(random: Random) -> None:
    playbook = written(random)
    foreseen: dict[str, set[Perform]] = {}

    def look(run: Run, _event: Any, decision: Decision) -> None:
        for todo in decision.todo:
            if isinstance(todo, Perform) and todo.kind == "prepare":
                foreseen[todo.occurrence] = set(members(playbook, decision.state, todo.occurrence))

    run = Run(playbook, random, ok, flags(random), after_each=look).begin().to_the_end(timeouts=False)
    for opener, wanted in foreseen.items():
        inside = [visit.status for visit in run.state.steps.values() if visit.branch.startswith(f"{opener}/")]
        if "failed" not in inside:  # a loop over its bound fails, and its handler may jump over members
            assert wanted <= set(run.performed)
            COUNTS["members foreseen"] += len(wanted)


@fewer
@given(randoms)
def test_every_playbook_is_the_same_after_a_way_through_cacao(random: Random) -> None:
    playbook = written(random)
    document = to_document(playbook)
    back = from_document(json.loads(json.dumps(document, sort_keys=True)))
    assert back == playbook
    assert back.digest == playbook.digest
    COUNTS["playbooks through CACAO and back"] += 1


def under_control(run: Run, event: Any, decision: Decision) -> None:
    """After every event: nothing is asked for while paused, resume says what was held, in order, and states survive."""
    asked = [todo for todo in decision.todo if isinstance(todo, Perform)]
    if run.state.status == "paused":
        assert asked == []
        COUNTS["decisions while paused"] += 1
    held = run.past.pop() if run.past else []
    if isinstance(event, ResumeRequested):
        assert [(todo.occurrence, todo.attempt) for todo in asked] == held
        COUNTS["performances held and let go"] += len(held)
    run.past.append([(each.occurrence, each.attempt) for each in decision.state.held if each.kind != "timeout"])
    stored = json.loads(json.dumps(decision.state.as_plain(), sort_keys=True))
    assert RunState.from_plain(stored) == decision.state


@fewer
@given(randoms)
def test_whatever_persons_do_to_a_run_it_ends_and_performs_nothing_twice(random: Random) -> None:
    run = Run(written(random), random, anything(random), flags(random), fickle=True, after_each=under_control).begin()
    run.to_the_end_of_patience(meddling=random.choice([0.05, 0.2, 0.5]), patience=random.randint(1, 60))
    assert run.finished
    assert run.state.status == run.finished[-1].status
    assert [visit for visit in run.state.steps.values() if visit.status in OPEN] == []
    assert run.performing == []
    assert run.state.held == ()
    done = Counter((todo.occurrence, todo.attempt) for todo in run.performed)
    assert max(done.values(), default=1) == 1
    COUNTS["runs with persons at them"] += 1
    COUNTS["further lives of failed runs"] += len(run.finished) - 1
    COUNTS["performances under control"] += len(run.performed)


@fewer
@given(randoms)
def test_a_run_that_is_tried_again_until_it_succeeds_does_nothing_a_second_time_that_had_succeeded(
    random: Random,
) -> None:
    good: Counter[str] = Counter()
    trouble = anything(random)

    def answer(todo: Perform) -> Any:
        end = trouble(todo) if todo.attempt < 6 else ok(todo)
        good[todo.occurrence] += end.result == "ok" and todo.kind in ("action", "manual")
        return end

    run = Run(written(random), random, answer, flags(random), fickle=True).begin()
    for _ in range(200):
        run.to_the_end(timeouts=False)
        if run.state.status != "failed" or not broken(run.state):
            break
        run.finished.clear()
        run.feed(RetryRequested())
        COUNTS["tries of failed runs"] += 1
    assert max(good.values(), default=0) <= 1
    again = [visit for visit in run.state.steps.values() if "#" in visit.id]
    assert all("handlers/" in visit.id for visit in again)
    COUNTS[f"runs tried until {run.state.status}"] += 1
