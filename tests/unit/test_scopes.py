"""Variables of steps: seen inside, written from inside, typed, and constants stay."""

from __future__ import annotations

from typing import Any

import pytest

from soar.engine import conductor
from soar.engine.binding import variables_at
from soar.engine.run_state import RunState
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.model import EPOCH, Playbook, made_id, playbook_id

OWN = playbook_id("scopes")
STEP, LOOP, INNER = (made_id(kind, OWN, "x") for kind in ("action", "while-condition", "action"))
INNER = made_id("action", OWN, "inner")
START, END, BACK = made_id("start", OWN, ""), made_id("end", OWN, ""), made_id("end", OWN, "back")
AGENT = made_id("individual", OWN, "agent")


def book(
    *, inner: dict[str, Any], loop: dict[str, Any] | None = None, variables: dict[str, Any] | None = None
) -> Playbook:
    """A loop that turns while __n__ is below 3, around one manual action."""
    ask = {"type": "action", "agent": AGENT, "commands": [{"type": "manual", "command": "count"}]}
    return from_document(
        {
            "type": "playbook", "spec_version": "cacao-2.0", "id": OWN, "name": "scopes",
            "created_by": "identity--4b1b6e2e-3a0c-4c1c-8f0a-5c7d3d0a7e11", "created": EPOCH, "modified": EPOCH,
            "workflow_start": START,
            "workflow": {
                START: {"type": "start", "on_completion": LOOP},
                LOOP: {"type": "while-condition", "condition": "__n__:value < 3", "on_true": INNER,
                       "on_completion": END, **(loop or {})},
                INNER: {**ask, "on_completion": BACK, **inner},
                BACK: {"type": "end"}, END: {"type": "end"},
            },
            "playbook_variables": variables or {"__n__": {"type": "integer", "value": "0"}},
            "agent_definitions": {AGENT: {"type": "individual", "name": "analyst"}},
        }
    )  # fmt: skip


def answered(playbook: Playbook, state: RunState, **outputs: Any) -> tuple[RunState, str]:
    """The open action answers; the new state, and what is asked next."""
    (place,) = [each.id for each in state.steps.values() if each.open and each.step_id == INNER]
    decision = conductor.feed(
        playbook, state, conductor.StepEnded(occurrence=place, attempt=1, result="ok", outputs=outputs), {}
    )
    return decision.state, place


def test_an_out_arg_writes_the_playbooks_variable_in_its_type_and_the_loop_sees_it() -> None:
    playbook = book(inner={"out_args": ["__n__"]})
    state = conductor.start(playbook, {"n": 0}).state
    for n in (1, 2, 3):
        state, _ = answered(playbook, state, n=str(n))
    assert (state.status, state.variables) == ("succeeded", {"n": 3})


def test_the_innermost_variable_of_a_name_is_the_one_that_is_written() -> None:
    playbook = book(
        inner={"out_args": ["__n__"]},
        loop={"step_variables": {"__n__": {"type": "integer", "value": "2"}}},
    )
    state = conductor.start(playbook, {"n": 0}).state
    (place,) = [each.id for each in state.steps.values() if each.step_id == INNER]
    assert variables_at(playbook, state, place)["n"] == 2
    state, _ = answered(playbook, state, n=3)
    assert (state.status, state.variables) == ("succeeded", {"n": 0})


@pytest.mark.parametrize(
    ("variable", "brought", "why"),
    [
        ({"type": "integer", "value": "0", "constant": True}, {"n": 1}, "n, which is a constant"),
        ({"type": "integer", "value": "0"}, {"n": "many"}, "n must be int"),
        ({"type": "integer", "value": "0"}, {"m": 1}, "the step brought no such thing"),
    ],
)
def test_a_result_that_does_not_fit_fails_the_step_and_writes_nothing(
    variable: dict[str, Any], brought: dict[str, Any], why: str
) -> None:
    playbook = book(inner={"out_args": ["__n__"]}, variables={"__n__": variable})
    state = conductor.start(playbook, {"n": 0}).state
    before, place = answered(playbook, state, **brought)
    assert why in before.steps[place].reason
    assert before.steps[place].status == "failed"
    assert before.variables == {"n": 0}


def test_a_state_with_variables_of_steps_comes_back_as_it_was_stored() -> None:
    playbook = book(inner={}, loop={"step_variables": {"__k__": {"type": "string", "value": "v"}}})
    state = conductor.start(playbook, {"n": 0}).state
    assert RunState.from_plain(state.as_plain()) == state
