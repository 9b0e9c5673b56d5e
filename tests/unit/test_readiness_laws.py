"""The laws of the score: whatever is found, and whatever is mended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soar.readiness.facts import Facts, SigningKey, Vault
from soar.readiness.report import assess, compared, costly, report
from soar.readiness.score import LAB_WEIGHTS, RED_CAP, WEIGHTS, Area, Finding, Level, areas, total
from tests.repo.pages import page, plain, rows
from tests.unit.ready_house import BOOK, EDR, POLICY, READY, TEAM, person

FINDINGS = st.lists(
    st.builds(
        Finding, area=st.sampled_from(list(WEIGHTS)), level=st.sampled_from(list(Level)),
        code=st.sampled_from(["a", "b"]), subject=st.sampled_from(["", "x", "y"]), what=st.just("what"),
        why=st.just("why"), mend=st.just("mend"),
    ),
    max_size=30,
)  # fmt: skip


def score(findings: list[Finding]) -> int:
    return total(areas(findings))


def test_the_weights_make_a_hundred() -> None:
    assert sum(WEIGHTS.values()) == sum(LAB_WEIGHTS.values()) == 100
    assert set(WEIGHTS) | set(LAB_WEIGHTS) == set(Area)


def test_the_page_of_drills_says_how_much_each_area_counts() -> None:
    told = {plain(area): int(weight) for area, weight, *_ in rows(page("docs/drills.md").text)}
    assert told == {area.value: weight for area, weight in WEIGHTS.items()}


@given(FINDINGS)
def test_it_lies_between_0_and_100_and_is_100_only_where_nothing_costs(findings: list[Finding]) -> None:
    assert 0 <= score(findings) <= 100
    assert (score(findings) == 100) is all(each.level is Level.NOTE for each in findings)


@given(FINDINGS, st.data())
def test_to_mend_a_finding_never_lowers_it(findings: list[Finding], data: st.DataObject) -> None:
    left = [each for each in findings if data.draw(st.booleans())]
    assert score(left) >= score(findings)


@given(FINDINGS, st.data())
def test_to_make_a_finding_milder_never_lowers_it(findings: list[Finding], data: st.DataObject) -> None:
    milder = {Level.RED: Level.AMBER, Level.AMBER: Level.NOTE, Level.NOTE: Level.NOTE}
    better = [replace(each, level=milder[each.level]) if data.draw(st.booleans()) else each for each in findings]
    assert score(better) >= score(findings)


@given(FINDINGS)
def test_a_red_finding_caps_its_area_and_no_other(findings: list[Finding]) -> None:
    for each in areas(findings):
        own = [finding.level for finding in findings if finding.area is each.area]
        assert each.points <= (RED_CAP if Level.RED in own else 100)
        assert (each.red, each.amber) == (own.count(Level.RED), own.count(Level.AMBER))
        if not own:
            assert each.points == 100


@given(FINDINGS.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_does_not_matter(pair: tuple[list[Finding], list[Finding]]) -> None:
    assert score(pair[0]) == score(pair[1])


@given(FINDINGS, FINDINGS)
def test_what_is_new_gone_and_still_there_is_all_there_was(before: list[Finding], now: list[Finding]) -> None:
    then, today = costly(before), costly(now)
    change = compared(then, today)
    assert sorted(change["gone"] + change["still"]) == sorted(then)
    assert sorted(change["new"] + change["still"]) == sorted(today)
    assert report(now).score == score(now)


MENDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "switches": ({"switches": ("*", "verb:scan")}, {"switches": ()}),
    "inventory": ({"resolvable": False}, {"resolvable": True}),
    "key": ({"key": SigningKey(private=False, backup="other")}, {"key": SigningKey()}),
    "vault": ({"vault": Vault(writable=False, why="full")}, {"vault": READY.vault}),
    "guards": ({"policy": replace(POLICY, resolvers=(), never_block_domains=frozenset())}, {"policy": POLICY}),
    "system": ({"systems": (replace(EDR, verbs=frozenset()),)}, {"systems": (EDR,)}),
    "persons": ({"persons": TEAM[:1]}, {"persons": TEAM}),
    "book": ({"books": (replace(BOOK, signed=False, revoked=True),)}, {"books": (BOOK,)}),
}


@given(st.sets(st.sampled_from(sorted(MENDS))), st.sampled_from(sorted(MENDS)))
def test_to_mend_one_thing_of_a_house_never_lowers_it(broken: set[str], mended: str) -> None:
    before: Facts = READY
    for name in broken | {mended}:
        before = replace(before, **MENDS[name][0])
    assert assess(replace(before, **MENDS[mended][1])).score >= assess(before).score


ROLES = st.sets(st.sampled_from(["analyst", "responder", "approver", "commander", "viewer"]), max_size=3)
PERSONS = st.lists(st.tuples(ROLES, st.booleans(), st.sets(st.integers(0, 5), max_size=2)), max_size=5)


@given(PERSONS, ROLES)
def test_one_more_person_whom_nobody_armed_today_never_lowers_it(
    team: list[tuple[set[str], bool, set[int]]], roles: set[str]
) -> None:
    persons = tuple(
        replace(person(f"p{number}", *held), active=active, armed_by=frozenset(f"id-p{each}" for each in armed))
        for number, (held, active, armed) in enumerate(team)
    )
    more = (*persons, person("one-more", *roles))
    assert assess(replace(READY, persons=more)).score >= assess(replace(READY, persons=persons)).score
