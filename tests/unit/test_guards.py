"""Stories of the guards: what may run, what may not, and what break-glass and persons change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from soar.guards.case import ApprovalFacts, Case, Counts, Vote
from soar.guards.judge import judge
from soar.guards.policy import Freeze
from soar.model import EntityKind, Target
from soar.phases import Phase
from soar.verbs import VERBS
from tests.unit.guard_cases import NOW, POLICY, account_case, block_case, finding, host_case, stops, wide


def test_an_ordinary_workstation_may_be_isolated_by_itself() -> None:
    judgement = judge(host_case(), POLICY)
    assert judgement.allowed
    assert not judgement.reasons
    assert {f.guard for f in judgement.findings} == {
        "kill_switch", "resolved", "hard_protection", "soft_protection", "configured", "never_block", "verdict",
        "caps", "freeze", "evidence", "sharing", "approval",
    }  # fmt: skip


def test_every_finding_is_reported_not_only_the_first() -> None:
    case = host_case(
        "dc01", tags=("crown-jewel",), switches=frozenset({"*"}), counts=Counts(run=11), collected=frozenset()
    )
    judgement = judge(case, POLICY)
    assert stops(judgement) == [
        ("kill_switch", "refuse"), ("soft_protection", "refuse"), ("soft_protection", "refuse"),
        ("caps", "refuse"), ("evidence", "wait"),
    ]  # fmt: skip
    assert judgement.refused
    assert judgement.as_plain()["needs_evidence"] == ["connections"]


@pytest.mark.parametrize("switch", ["*", "adapter:edr", "verb:isolate_host"])
def test_a_kill_switch_stops_everything_even_under_break_glass(switch: str) -> None:
    case = host_case(adapter="edr", switches=frozenset({switch}), break_glass=True)
    assert stops(judge(case, POLICY)) == [("kill_switch", "refuse")]


@pytest.mark.parametrize("switch", ["adapter:firewall", "verb:disable_account"])
def test_a_switch_of_something_else_stops_nothing(switch: str) -> None:
    assert judge(host_case(adapter="edr", switches=frozenset({switch})), POLICY).allowed


@pytest.mark.parametrize("switch", ["verb:isolate_host", "verb:release_host"])
def test_an_undo_is_stopped_by_the_switch_of_either_verb(switch: str) -> None:
    assert judge(host_case(direction="revert", switches=frozenset({switch})), POLICY).refused


@pytest.mark.parametrize(
    "case",
    [
        host_case("soar-01"),
        host_case("SOAR-01"),
        host_case("h9", name="vc.mgmt.corp.example"),
        host_case("h9", addresses=("198.51.100.5",)),
        host_case("h9", addresses=("::ffff:198.51.100.5",)),
        account_case("breakglass-1"),
        account_case("CORP\\BreakGlass-1"),
        account_case("breakglass-1@corp.example"),
        account_case(wide("breakglass") + "-1"),
        block_case("198.51.100.5"),
        block_case("198.51.0.0/16"),
        block_case("64:ff9b::198.51.100.5"),
        block_case("mgmt.corp.example", what="domain"),
        block_case("https://vc.mgmt.corp.example/ui", what="url"),
    ],
    ids=lambda case: f"{case.target}",
)
def test_hard_protection_never_yields(case: Case) -> None:
    for glass in (False, True):
        judgement = judge(replace(case, break_glass=glass, automatic=False), POLICY)
        assert ("hard_protection", "refuse") in stops(judgement)
        assert finding(judgement, "hard_protection").hard


@pytest.mark.parametrize(
    "case",
    [
        host_case("ws-0001"),
        host_case("dc01"),
        host_case("h9", name="dc01.corp.example"),
        host_case("h9", tags=("crown-jewel",)),
        host_case("h9", groups=("DOMAIN CONTROLLERS",)),
        host_case("h9", addresses=("10.9.3.4",)),
        host_case("ws-5", params={"host": "ws-0001"}),
        account_case("CORP\\krbtgt"),
    ],
    ids=lambda case: f"{case.target}",
)
def test_soft_protection_yields_to_break_glass_alone(case: Case) -> None:
    assert stops(judge(case, POLICY)) == [("soft_protection", "refuse")]
    opened = judge(replace(case, break_glass=True), POLICY)
    assert opened.allowed
    assert "break-glass" in finding(opened, "soft_protection").reason


@pytest.mark.parametrize(
    "case", [host_case("abcdc01"), host_case("h9", addresses=("10.10.0.1",)), account_case("krbtgt2")]
)
def test_a_near_name_is_not_protected(case: Case) -> None:
    assert judge(case, POLICY).allowed


def test_a_protected_host_may_still_be_looked_at_and_released() -> None:
    assert judge(host_case("soar-01", verb="collect_evidence"), POLICY).allowed
    assert judge(host_case("soar-01", direction="revert", counts=Counts(run=500)), POLICY).allowed
    assert judge(host_case("soar-01", verb="release_host"), POLICY).allowed


def test_a_host_that_no_inventory_knows_is_a_matter_for_a_person() -> None:
    unknown = replace(host_case(), entity=None)
    assert stops(judge(unknown, POLICY)) == [("resolved", "refuse")]
    by_hand = judge(replace(unknown, automatic=False), POLICY)
    assert stops(by_hand) == [("resolved", "ask")]
    assert by_hand.needs_approval


def test_the_entity_of_another_host_proves_nothing() -> None:
    assert stops(judge(replace(host_case(), entity=host_case("ws-9").entity), POLICY)) == [("resolved", "refuse")]


def test_without_a_protected_list_containment_is_only_proposed() -> None:
    bare = replace(POLICY, configured=False)
    assert stops(judge(host_case(), bare)) == [("configured", "refuse")]
    assert "only proposed" in judge(host_case(), bare).reasons[0]
    assert judge(host_case(automatic=False), bare).allowed
    assert judge(host_case(verb="collect_evidence"), bare).allowed
    assert judge(host_case(break_glass=True), bare).refused


@pytest.mark.parametrize(
    ("counts", "allowed"),
    [
        (Counts(run=10, hour=20, group_share=0.25), True), (Counts(run=11), False), (Counts(hour=21), False),
        (Counts(group_share=0.26), False), (Counts(group_share=float("nan")), False),
    ],
)  # fmt: skip
def test_caps_hold_in_a_run_an_hour_and_a_group(counts: Counts, allowed: bool) -> None:
    judgement = judge(host_case(counts=counts), POLICY)
    assert stops(judgement) == ([] if allowed else [("caps", "refuse")])


def test_five_hundred_hosts_under_a_cap_of_ten_stop_after_ten() -> None:
    done = [n for n in range(1, 501) if judge(host_case(f"ws-{n}x", counts=Counts(run=n)), POLICY).allowed]
    assert done == list(range(1, 11))


def test_break_glass_widens_a_cap_by_one_canary_and_then_in_doubling_waves() -> None:
    def reached(canaries: int) -> int:
        cases = (host_case(counts=Counts(run=n), break_glass=True, canaries=canaries) for n in range(1, 60))
        return sum(judge(case, POLICY).allowed for case in cases)

    assert [reached(verified) for verified in (0, 1, 3, 7)] == [11, 13, 17, 25]
    share = host_case(counts=Counts(group_share=0.9), break_glass=True)
    assert stops(judge(share, POLICY)) == [("caps", "refuse")]
    assert judge(replace(share, canaries=1), POLICY).allowed


def test_the_common_cap_is_for_acts_and_a_verbs_own_cap_for_itself() -> None:
    many = Counts(run=400)
    assert judge(host_case(verb="collect_evidence", counts=many), POLICY).allowed
    note = Case(verb=VERBS["notify"], target=Target(kind=EntityKind.TEAM, id="soc"), now=NOW, counts=Counts(run=3))
    assert judge(note, POLICY).allowed
    assert judge(replace(note, counts=Counts(run=4)), POLICY).refused


def test_a_change_freeze_stops_changes_until_it_ends_or_glass_is_broken() -> None:
    frozen = replace(POLICY, freezes=(Freeze(name="year-end", start=NOW, end=NOW + timedelta(hours=1)),))
    assert stops(judge(host_case(), frozen)) == [("freeze", "refuse")]
    assert judge(host_case(break_glass=True), frozen).allowed
    assert judge(host_case(direction="revert"), frozen).allowed
    assert judge(host_case(verb="collect_evidence"), frozen).allowed
    assert judge(replace(host_case(), now=NOW + timedelta(hours=1)), frozen).allowed
    assert judge(replace(host_case(), now=NOW - timedelta(seconds=1)), frozen).allowed


def test_what_an_isolation_destroys_is_collected_first() -> None:
    judgement = judge(host_case(collected=frozenset({"memory"})), POLICY)
    assert stops(judgement) == [("evidence", "wait")]
    assert judgement.needs_evidence == {"connections"}
    assert not judgement.refused
    assert not judgement.needs_approval


@pytest.mark.parametrize(("seconds", "allowed"), [(59.9, False), (60, True), (-5, False)])
def test_the_time_box_ends_the_wait(seconds: float, allowed: bool) -> None:
    case = host_case(collected=frozenset(), box_started=NOW - timedelta(seconds=seconds))
    assert judge(case, POLICY).allowed is allowed


def test_running_harm_is_contained_first_and_its_ground_is_said() -> None:
    judgement = judge(host_case(collected=frozenset(), urgency="immediate", ground="encryption"), POLICY)
    assert judgement.allowed
    assert judgement.owed_evidence == {"connections"}
    assert not judgement.needs_evidence
    assert "encryption" in finding(judgement, "evidence").reason


def test_urgency_excuses_containment_alone() -> None:
    cleaning = host_case(verb="remove_persistence", collected=frozenset(), urgency="immediate")
    assert stops(judge(cleaning, POLICY)) == [("evidence", "wait")]
    fierce = replace(cleaning, verb=replace(VERBS["wipe_device"], phase=Phase.CONTAINMENT))
    assert stops(judge(fierce, POLICY)) == [("evidence", "wait")]


@pytest.mark.parametrize("verb", ["kill_process", "delete_file", "wipe_device", "rebuild_host"])
def test_a_destructive_verb_goes_on_without_evidence_only_by_approval(verb: str) -> None:
    case = host_case(verb=verb, collected=frozenset(), urgency="immediate", action_digest="d", break_glass=True)
    assert stops(judge(case, POLICY)) == [("evidence", "wait")]
    late = replace(case, box_started=NOW - timedelta(hours=1))
    assert stops(judge(late, POLICY)) == [("evidence", "ask")]
    assert not judge(late, POLICY).needs_evidence, "the time for collecting is over; a person decides"
    said = replace(late, approved_skip_evidence=True)
    assert not judge(said, POLICY).allowed, "a claim without a vote is no approval"
    yes = ApprovalFacts(digest="d", voters=(Vote(person_id="ann", decision="approve", digest="d"),))
    assert not judge(replace(late, approval=yes), POLICY).allowed, "an approval that did not name the loss"
    assert judge(replace(said, approval=yes), POLICY).allowed
    assert judge(replace(case, collected=VERBS[verb].destroys), POLICY).allowed
