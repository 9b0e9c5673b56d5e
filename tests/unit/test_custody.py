"""The chain of custody says who held what, and shows where it breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.custody import CustodyEntry, problems
from soar.errors import Invalid

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HASH = "ab" * 32


def entry(seq: int, act: str, **more: Any) -> CustodyEntry:
    given_parts: dict[str, Any] = {
        "item_id": "item-1", "seq": seq, "act": act, "actor": "person:ada", "at": START + timedelta(minutes=seq),
        "purpose": "investigation", "method": "live", "tool": "collector 1.2", "hash_before": HASH, "hash_after": HASH,
    }  # fmt: skip
    return CustodyEntry(**given_parts | more)


CHAIN = [
    entry(0, "acquired", to="ada", hash_before=""),
    entry(1, "read"),
    entry(2, "transferred", from_="ada", to="grace"),
    entry(3, "verified"),
    entry(4, "exported", from_="grace", to="court"),
    entry(5, "transferred", from_="grace", to="store"),
    entry(6, "sealed", hash_before="", hash_after=""),
]


def codes(chain: list[CustodyEntry]) -> list[tuple[str, str]]:
    return [(each.code, each.pointer) for each in problems(chain)]


def test_a_whole_chain_has_no_problem() -> None:
    assert problems(CHAIN) == []


def test_an_item_without_a_record_is_a_problem() -> None:
    assert [each.code for each in problems([])] == ["custody_empty"]


DEFECTS: dict[str, tuple[int, dict[str, Any]]] = {
    "custody_gap": (3, {"seq": 4}),
    "custody_time_backwards": (3, {"at": START}),
    "custody_no_acquisition": (0, {"act": "read"}),
    "custody_acquired_twice": (1, {"act": "acquired", "to": "ada"}),
    "custody_holder": (5, {"from_": "ada"}),
    "custody_hash_broken": (3, {"hash_before": "cd" * 32, "hash_after": "cd" * 32}),
    "custody_hash_changed": (3, {"hash_after": "cd" * 32}),
    "custody_foreign": (2, {"item_id": "item-2"}),
    "custody_act": (1, {"act": "borrowed"}),
    "custody_nobody": (1, {"actor": ""}),
    "custody_no_holder": (5, {"to": ""}),
    "custody_unhashed": (3, {"hash_after": ""}),
    "custody_hash": (1, {"hash_before": "", "hash_after": "nonsense"}),
}


@pytest.mark.parametrize("code", DEFECTS)
def test_each_defect_is_found_where_it_is(code: str) -> None:
    position, change = DEFECTS[code]
    chain = [*CHAIN]
    chain[position] = replace(chain[position], **change)
    assert (code, f"{chain[position].item_id}#{position}") in codes(chain)


def test_an_export_by_somebody_who_does_not_hold_the_item_is_found() -> None:
    chain = [*CHAIN]
    chain[4] = replace(chain[4], from_="ada")
    assert codes(chain) == [("custody_holder", "item-1#4")]


holders = st.lists(st.sampled_from(["ada", "grace", "joan", "store"]), min_size=4, max_size=20)


def chain_of(names: list[str]) -> list[CustodyEntry]:
    first = entry(0, "acquired", to=names[0], hash_before="")
    pairs = enumerate(pairwise(names), 1)
    return [first, *(entry(seq, "transferred", from_=a, to=b) for seq, (a, b) in pairs)]


@given(holders, st.data())
def test_any_lost_or_doubled_transfer_is_found(names: list[str], data: st.DataObject) -> None:
    chain = chain_of(names)
    assert problems(chain) == []
    at = data.draw(st.integers(0, len(chain) - 2))
    assert problems(chain[:at] + chain[at + 1 :])
    assert problems([*chain[:at], chain[at], *chain[at:]])


@given(holders, st.data())
def test_a_renumbered_gap_shows_in_the_holders(names: list[str], data: st.DataObject) -> None:
    chain = chain_of(names)
    at = data.draw(st.integers(1, len(chain) - 2))
    cut = [replace(each, seq=seq) for seq, each in enumerate(chain[:at] + chain[at + 1 :])]
    assert bool(problems(cut)) == (names[at] != names[at - 1])


@pytest.mark.parametrize("each", CHAIN, ids=lambda each: each.act)
def test_an_entry_survives_json(each: CustodyEntry) -> None:
    assert CustodyEntry.from_plain(json.loads(json.dumps(each.as_plain()))) == each


@pytest.mark.parametrize(
    "broken",
    [
        None, [], "x", {}, {**CHAIN[0].as_plain(), "seq": "0"}, {**CHAIN[0].as_plain(), "seq": True},
        {**CHAIN[0].as_plain(), "at": "yesterday"}, {**CHAIN[0].as_plain(), "at": "2026-03-01T12:00:00"},
        {**CHAIN[0].as_plain(), "owner": "me"}, {**CHAIN[0].as_plain(), "actor": ["a"]},
        {**CHAIN[0].as_plain(), "at": "0001-01-01T00:00:00+23:00"},
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_with_its_fields(broken: Any) -> None:
    with pytest.raises(Invalid) as error:
        CustodyEntry.from_plain(broken)
    assert all(each.code == "custody_malformed" for each in error.value.problems)
    assert error.value.problems
