"""Laws of the guards, for any case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from soar.guards.approval import count_votes, digest_of, group_digest
from soar.guards.case import ApprovalFacts, Case, Counts, Vote
from soar.guards.judge import judge
from soar.guards.policy import Cap, Policy, Protection
from soar.model import Entity, EntityKind, Observable, Target, Verdict
from soar.verbs import VERBS

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = ("ws-1", "dc01", "soar-01", "10.9.0.1", "krbtgt")
PERSONS = ("ann", "bob", "cat", "sam", "eve")

policies = st.builds(
    Policy,
    hard=st.builds(Protection, ids=st.frozensets(st.sampled_from(NAMES), max_size=2)),
    soft=st.builds(Protection, names=st.lists(st.sampled_from(("dc*", "ws-?", "*")), max_size=2).map(tuple)),
    configured=st.booleans(),
    caps=st.just({"*": Cap(per_run=3)}),
)
votes = st.builds(
    Vote,
    person_id=st.sampled_from(PERSONS),
    decision=st.sampled_from(("approve", "approve", "deny")),
    digest=st.sampled_from(("d", "d", "other")),
    kind=st.sampled_from(("person", "person", "service")),
    roles=st.frozensets(st.sampled_from(("approver", "analyst")), max_size=2),
    granted_by=st.frozensets(st.sampled_from((*PERSONS, "root")), max_size=2),
)
approvals = st.builds(
    ApprovalFacts,
    digest=st.just("d"),
    required=st.integers(0, 3),
    voters=st.lists(votes, max_size=6).map(tuple),
    any_of=st.sampled_from((frozenset(), frozenset({"approver"}))),
    issuers=st.frozensets(st.sampled_from(("eve", "root")), max_size=1),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    verb = draw(st.sampled_from(sorted(VERBS.values(), key=lambda verb: verb.name)))
    ident = draw(st.sampled_from(NAMES))
    entity = Entity(kind=verb.target_kind, id=ident, name=ident, source="lab")
    seen = Observable(type="ipv4-addr", value="203.0.113.9", verdict=Verdict.MALICIOUS, confidence=90)
    return Case(
        verb=verb,
        target=Target(kind=verb.target_kind, id=ident),
        now=NOW,
        entity=draw(st.sampled_from((entity, None))),
        observable=draw(st.sampled_from((seen, None))),
        direction=draw(st.sampled_from(("apply", "revert"))),
        automatic=draw(st.booleans()),
        starter_id=draw(st.sampled_from(("", "sam"))),
        confirmer_id="cat",
        urgency=draw(st.sampled_from(("normal", "immediate"))),
        counts=Counts(run=draw(st.integers(1, 8))),
        collected=draw(st.sampled_from((frozenset(), verb.destroys))),
        break_glass=draw(st.booleans()),
        canaries=draw(st.integers(0, 3)),
        approval=draw(st.none() | approvals),
        action_digest="d",
    )


@given(cases(), policies)
def test_the_words_of_a_judgement_agree(case: Case, policy: Policy) -> None:
    judgement = judge(case, policy)
    assert judgement.allowed is not (judgement.refused or judgement.needs_approval or "wait" in str(judgement.findings))
    assert judgement.allowed is not bool(judgement.reasons)
    assert all(finding.reason for finding in judgement.findings)


@given(cases(), policies)
def test_break_glass_never_changes_a_hard_finding_and_never_takes_a_right_away(case: Case, policy: Policy) -> None:
    shut = judge(replace(case, break_glass=False), policy)
    opened = judge(replace(case, break_glass=True), policy)
    assert {f for f in shut.findings if f.hard and f.verdict != "pass"} <= set(opened.findings)
    assert opened.allowed or not shut.allowed


@given(cases(), policies)
def test_the_kill_switch_stops_every_case(case: Case, policy: Policy) -> None:
    assert judge(replace(case, switches=frozenset({"*"})), policy).refused


@given(cases(), policies, st.sampled_from(NAMES))
def test_more_protection_never_allows_more(case: Case, policy: Policy, name: str) -> None:
    more = replace(policy, soft=replace(policy.soft, ids=policy.soft.ids | {name}))
    assert judge(case, policy).allowed or not judge(case, more).allowed


@given(cases(), policies)
def test_an_undo_meets_only_the_kill_switch_and_the_approval(case: Case, policy: Policy) -> None:
    stopped = [f.guard for f in judge(replace(case, direction="revert"), policy).findings if f.verdict != "pass"]
    assert set(stopped) <= {"kill_switch", "approval"}


@given(approvals, st.randoms(use_true_random=False), st.sampled_from(("", "sam")))
def test_the_order_of_votes_decides_nothing(approval: ApprovalFacts, random: Any, starter: str) -> None:
    shuffled = list(approval.voters)
    random.shuffle(shuffled)
    first = count_votes(approval, starter=starter, confirmer="cat", digest="d")
    other = count_votes(replace(approval, voters=tuple(shuffled)), starter=starter, confirmer="cat", digest="d")
    assert (set(first.approved_by), set(first.denied_by)) == (set(other.approved_by), set(other.denied_by))
    assert first.granted is other.granted


@given(approvals)
def test_each_counted_person_is_independent_and_counted_once(approval: ApprovalFacts) -> None:
    count = count_votes(approval, starter="sam", confirmer="cat", digest="d")
    assert len(set(count.approved_by)) == len(count.approved_by)
    assert not {"sam", "cat"} & set(count.approved_by)
    assert len(count.approved_by) + len(count.ignored) + len(count.denied_by) <= len(approval.voters)
    for voter in approval.voters:
        if voter.person_id in count.approved_by:
            assert not voter.granted_by & {"sam", "cat", *count.approved_by}
            assert not voter.granted_by & approval.issuers
    hands = [
        frozenset().union(*(voter.granted_by for voter in approval.voters if voter.person_id == who))
        for who in count.approved_by
    ]
    assert sum(map(len, hands)) == len(frozenset().union(*hands)), "two counted voices have one hand behind them"


@given(approvals, votes)
def test_one_more_vote_that_is_ignored_grants_nothing(approval: ApprovalFacts, extra: Vote) -> None:
    idle = replace(extra, digest="other")
    before = count_votes(approval, starter="sam", confirmer="cat", digest="d")
    after = count_votes(replace(approval, voters=(*approval.voters, idle)), starter="sam", confirmer="cat", digest="d")
    assert before.granted or not after.granted


@given(approvals)
def test_a_vote_on_a_digest_says_nothing_of_another(approval: ApprovalFacts) -> None:
    assert not count_votes(approval, starter="", confirmer="", digest="changed").approved_by


@given(
    st.lists(st.text(alphabet="abcdef0123456789", min_size=1, max_size=8), max_size=6),
    st.randoms(use_true_random=False),
)
def test_a_group_digest_has_no_order_but_knows_its_members(digests: list[str], random: Any) -> None:
    shuffled = list(digests)
    random.shuffle(shuffled)
    assert group_digest(digests) == group_digest(shuffled)
    assert group_digest([*digests, "new"]) != group_digest(digests)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(alphabet="aZ0é☃", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet="abc", min_size=1), plain_values, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_parameters(params: dict[str, Any]) -> None:
    target = Target(kind=EntityKind.HOST, id="ws-1")
    turned = dict(reversed(params.items()))
    assert digest_of("a", "v", target, params, 3600, "p") == digest_of("a", "v", target, turned, 3600, "p")


def _spellings(address: IPv4Address) -> list[str]:
    bits = int(address)
    return [
        str(address),
        f"{address}/24",
        f"{address}/9",
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b::{address}/120",
        str(IPv6Address((0x2002 << 112) | (bits << 80) | 1)),
        str(IPv6Address((0x20010000 << 96) | (bits ^ 0xFFFFFFFF))),
        f"http://{address}/x",
        f"http://[::ffff:{address}]:8080/",
    ]


@settings(max_examples=60)
@given(st.ip_addresses(v=4), st.integers(8, 32), st.integers(0, 9))
def test_a_never_block_network_is_met_in_every_spelling(address: IPv4Address, length: int, spelling: int) -> None:
    never = Policy(configured=True, never_block_networks=(IPv4Network((int(address), length), strict=False),))
    value = _spellings(address)[spelling]
    what = "url" if "://" in value else "ip"
    seen = Observable(type="x", value=value, verdict=Verdict.MALICIOUS, confidence=100)
    case = Case(
        verb=VERBS[f"block_{what}"], target=Target(kind=EntityKind.OBSERVABLE, id=value), now=NOW, observable=seen
    )
    assert any("never blocked" in reason for reason in judge(case, never).reasons)


@given(st.text(max_size=40), st.sampled_from(("ip", "domain", "url", "sender", "hash")))
def test_no_text_makes_a_guard_fall_over(text: str, what: str) -> None:
    policy = Policy(
        configured=True, never_block_domains=frozenset({"corp.example"}), resolvers=(ip_network("9.9.9.9"),)
    )
    seen = Observable(type="x", value=text, verdict=Verdict.MALICIOUS, confidence=100)
    target = Target(kind=EntityKind.OBSERVABLE, id=text)
    victims = frozenset({text[:9], "ceo@corp.example"})
    judge(Case(verb=VERBS[f"block_{what}"], target=target, now=NOW, observable=seen, victim_addresses=victims), policy)
