"""Canaries: the first targets of a step prove a verb before the rest is begun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.engine.limits import wave
from soar.guards.policy import Policy
from soar.model import EntityKind, Target
from soar.protocol import UNSENT, State
from soar.store.rows import ActionRow

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EMPTY: dict[str, Any] = dict.fromkeys(ActionRow.__dataclass_fields__, "") | {
    "command_index": 0, "generation": 1, "params": {}, "undo_of": None, "prior": {}, "handle": {}, "outputs": {},
    "guards": [], "lease_seconds": 0, "review_seconds": 0, "approval_id": None, "effect_id": None, "run_id": None,
    "created_at": NOW, "called_at": None, "verified_at": None, "ended_at": None,
}  # fmt: skip
CANARY = Policy(canary={"isolate_host": 2})


def row(number: int, state: State = State.READY, *, verb: str = "isolate_host", **more: Any) -> ActionRow:
    target = Target(kind=EntityKind.HOST, id=f"ws-{number:02}")
    given = {"id": f"{verb}-{number:02}", "verb": verb, "target": target, "target_name": target.id, "state": state}
    return ActionRow(**(EMPTY | given | more))


def ready(count: int) -> list[ActionRow]:
    return [row(number) for number in range(count)]


def proven(each: ActionRow) -> ActionRow:
    return replace(each, state=State.ACTIVE, called_at=NOW, verified_at=NOW)


def test_without_a_canary_all_go_at_once() -> None:
    assert len(wave(ready(5), Policy()).go) == 5
    assert len(wave(ready(2), CANARY).go) == 2, "fewer targets than canaries"


def test_two_go_first_and_the_rest_once_both_are_verified() -> None:
    rows = ready(5)
    first = wave(rows, CANARY)
    assert (sorted(first.go), first.stopped) == ([rows[0].id, rows[1].id], frozenset())
    rows[0] = proven(rows[0])
    assert rows[2].id not in wave(rows, CANARY).go
    rows[1] = proven(rows[1])
    assert wave(rows, CANARY).go == {each.id for each in rows}


@pytest.mark.parametrize("state", [State.FAILED, State.NOT_EFFECTIVE])
def test_a_canary_that_is_not_verified_stops_the_rest_and_says_why(state: State) -> None:
    rows = ready(5)
    rows[0] = replace(rows[0], state=state, called_at=NOW, summary="no answer at the switch")
    rows[1] = proven(rows[1])
    found = wave(rows, CANARY)
    assert found.stopped == {each.id for each in rows[2:]}
    assert not found.go & found.stopped
    assert "ws-00" in found.why
    assert "no answer at the switch" in found.why


@pytest.mark.parametrize("state", [State.ACCEPTED, State.CALLING, State.IN_DOUBT, State.CONFIRMED])
def test_while_a_canary_is_not_settled_the_rest_waits_but_the_canary_goes_on(state: State) -> None:
    rows = ready(5)
    rows[0] = replace(rows[0], state=state, called_at=NOW)
    rows[1] = proven(rows[1])
    found = wave(rows, CANARY)
    assert rows[0].id in found.go
    assert not found.go & {each.id for each in rows[2:]}
    assert not found.stopped


@pytest.mark.parametrize("state", [State.REFUSED, State.SATISFIED, State.DENIED])
def test_what_was_never_sent_proves_nothing_so_the_next_takes_its_place(state: State) -> None:
    rows = ready(5)
    rows[0] = replace(rows[0], state=state)
    rows[1] = replace(rows[1], state=State.ACTIVE, verified_at=NOW)  # another hold of what was contained already
    assert {rows[2].id, rows[3].id} <= wave(rows, CANARY).go
    assert rows[4].id not in wave(rows, CANARY).go


def test_verbs_are_proven_apart_from_each_other() -> None:
    policy = Policy(canary={"*": 1, "isolate_host": 2})
    blocks = [row(number, verb="block_ip") for number in range(3)]
    notes = [row(number, verb="notify") for number in range(3)]
    hosts = ready(3)
    go = wave([*blocks, *notes, *hosts], policy).go
    assert go == {blocks[0].id, *(each.id for each in notes), hosts[0].id, hosts[1].id}
    blocks[0] = replace(blocks[0], state=State.FAILED)
    found = wave([*blocks, *hosts], policy)
    assert found.stopped == {blocks[1].id, blocks[2].id}
    assert {hosts[0].id, hosts[1].id} <= found.go


outcomes = st.lists(st.sampled_from(["ok", "ok", "ok", "bad", "refused", "slow"]), max_size=12)


@given(outcomes, st.integers(0, 4))
def test_nothing_beyond_the_canaries_is_sent_before_they_are_verified(fates: list[str], wanted: int) -> None:
    policy = Policy(canary={"isolate_host": wanted}) if wanted else Policy()
    rows = ready(len(fates))
    sent: list[int] = []
    for _ in range(2 * len(fates) + 2):
        for number, fate in enumerate(fates):
            each, found = rows[number], wave(rows, policy)
            assert not found.go & found.stopped
            if each.id in found.stopped:
                rows[number] = replace(each, state=State.CANCELLED)
            elif each.id in found.go and each.state in UNSENT and fate == "refused":
                rows[number] = replace(each, state=State.REFUSED)
            elif each.id in found.go and each.state in UNSENT:
                assert not any(fates[n] == "bad" for n in sent[:wanted])
                assert len(sent) < wanted or all(rows[n].verified_at for n in sent[:wanted])
                sent.append(number)
                rows[number] = _first(each, fate)
            elif each.id in found.go and each.state is State.ACCEPTED:
                rows[number] = proven(each)
    assert not any(each.state in UNSENT or each.state is State.ACCEPTED for each in rows), "nobody waits for ever"


def _first(each: ActionRow, fate: str) -> ActionRow:
    if fate == "ok":
        return proven(each)
    return replace(each, state=State.FAILED if fate == "bad" else State.ACCEPTED, called_at=NOW)
