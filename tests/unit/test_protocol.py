"""The table of moves, and what is decided about an action found in the middle of its call."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.errors import Conflict
from soar.model import Inspection, Repeat
from soar.protocol import GOOD, MOVES, ON_REGISTER, STANDING, UNSENT, Recovery, State, check_move, recover

FINAL = {state for state, after in MOVES.items() if not after}


def seen(*, present: bool | None, ours: str | None = None) -> Inspection:
    return Inspection(present=present, state={}, ours=ours)


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(State)


def test_only_moves_of_the_table_are_allowed() -> None:
    for current, to in itertools.product(State, State):
        if to in MOVES[current]:
            check_move(current, to)
        else:
            with pytest.raises(Conflict, match=current.value):
                check_move(current, to)


def test_every_state_can_be_reached_and_every_life_can_end() -> None:
    reached, wave = {State.PLANNED}, {State.PLANNED}
    while wave:
        wave = {after for state in wave for after in MOVES[state]} - reached
        reached |= wave
    # overdue, drifted and the like are entered from active; nothing stands apart
    assert reached == set(State)
    for state in State:
        ends, wave = {state}, {state}
        while wave:
            wave = {after for each in wave for after in MOVES[each]} - ends
            ends |= wave
        assert ends & FINAL


def test_nothing_is_sent_without_a_stored_intent() -> None:
    """Into calling leads one door only: ready, after the guards."""
    assert [state for state in State if State.CALLING in MOVES[state]] == [State.READY]


def test_nothing_is_done_before_it_was_verified() -> None:
    assert [state for state in State if State.DONE in MOVES[state]] == [State.VERIFIED]


def test_an_effect_that_may_be_there_is_on_the_register() -> None:
    sent = {State.CALLING, State.ACCEPTED, State.CONFIRMED, State.VERIFIED, State.NOT_EFFECTIVE, State.IN_DOUBT}
    assert sent | STANDING <= ON_REGISTER
    assert not ON_REGISTER & (UNSENT | FINAL)


def test_a_step_is_content_only_with_what_it_wanted() -> None:
    assert not GOOD & {State.FAILED, State.NOT_EFFECTIVE, State.IN_DOUBT, State.REFUSED, State.DENIED, State.LAPSED}


@pytest.mark.parametrize("repeat", [Repeat.KEYED, Repeat.STATE])
def test_absent_is_repeated_and_present_is_adopted_where_repeating_is_safe(repeat: Repeat) -> None:
    assert recover(repeat, "k", seen(present=False)) is Recovery.REPEAT
    assert recover(repeat, "k", seen(present=True, ours="k")) is Recovery.ADOPT
    assert recover(repeat, "k", seen(present=True)) is Recovery.ADOPT


def test_what_is_unsafe_to_repeat_is_adopted_or_asked_about_never_repeated() -> None:
    assert recover(Repeat.UNSAFE, "k", seen(present=True, ours="k")) is Recovery.ADOPT
    for now in (seen(present=False), seen(present=None), None):
        assert recover(Repeat.UNSAFE, "k", now) is Recovery.ASK


@given(st.sampled_from([Repeat.KEYED, Repeat.STATE, Repeat.UNSAFE]), st.booleans())
def test_what_cannot_be_read_or_is_somebody_elses_is_asked_about(repeat: Repeat, unreadable: bool) -> None:
    now = None if unreadable else seen(present=None)
    assert recover(repeat, "k", now) is Recovery.ASK
    assert recover(repeat, "k", seen(present=True, ours="another")) is Recovery.ASK


def test_an_undo_is_content_when_the_effect_is_gone_whoever_ended_it() -> None:
    assert recover(Repeat.STATE, "k", seen(present=True, ours="another"), undoes=True) is Recovery.ADOPT


def test_a_read_is_simply_read_again() -> None:
    assert recover(Repeat.READ, "k", None) is Recovery.REPEAT
