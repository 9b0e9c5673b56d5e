"""Stories of approvals: whose voice counts, and what it is bound to."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from soar.errors import Invalid
from soar.guards.approval import count_votes, digest_of, group_digest
from soar.guards.case import ApprovalFacts, Vote
from soar.guards.judge import judge
from soar.model import EntityKind, Target
from tests.unit.guard_cases import POLICY, host_case, stops

APPROVER = frozenset({"approver"})
DIGEST = digest_of("edr", "isolate_host", Target(kind=EntityKind.HOST, id="ws-1"), {"host": "ws-1"}, None, "p1")


def vote(person: str, decision: Any = "approve", **more: Any) -> Vote:
    return Vote(person_id=person, decision=decision, **({"digest": DIGEST, "roles": APPROVER} | more))


VOTES = [
    ("one approver", [vote("ann")], True, ""),
    ("nobody", [], False, ""),
    ("the starter", [vote("sam")], False, "started the run"),
    ("the confirmer of an automatic run", [vote("cat")], False, "confirmed the alert"),
    ("a service", [vote("siem", kind="service")], False, "services cannot vote"),
    ("no person at all", [vote("")], False, "not a person"),
    ("the wrong role", [vote("ann", roles=frozenset({"analyst"}))], False, "none of the roles"),
    ("no role", [vote("ann", roles=frozenset())], False, "none of the roles"),
    ("an older digest", [vote("ann", digest="0" * 64)], False, "the action changed"),
    ("an empty digest", [vote("ann", digest="")], False, "the action changed"),
    ("an unknown word", [vote("ann", "maybe")], False, "neither approve nor deny"),
    ("whom the starter appointed today", [vote("ann", granted_by=frozenset({"sam"}))], False, "today from sam"),
    ("whom the confirmer appointed today", [vote("ann", granted_by=frozenset({"cat"}))], False, "today from cat"),
    ("who appointed themselves today", [vote("ann", granted_by=frozenset({"ann"}))], False, "key today from ann$"),
    ("whom an uninvolved admin appointed today", [vote("ann", granted_by=frozenset({"root"}))], True, ""),
    ("who issued the starter's key today", [vote("eve")], False, "issued the starter's role or key"),
    ("whom the starter's issuer armed today", [vote("ann", granted_by=frozenset({"eve"}))], False, "from eve, as did"),
    (
        "whom the starter's issuer armed while the team is set up",
        [vote("ann", granted_by=frozenset({"eve"}), setting_up=True)], True, "",
    ),
    (
        "whom the starter armed while the team is set up",
        [vote("ann", granted_by=frozenset({"sam"}), setting_up=True)], False, "today from sam",
    ),
    ("an approver and a denier", [vote("ann"), vote("bob", "deny")], False, ""),
    ("who changed their mind to no", [vote("ann"), vote("ann", "deny")], False, ""),
    ("who changed their mind to yes", [vote("ann", "deny"), vote("ann")], False, ""),
    ("a denying starter", [vote("ann"), vote("sam", "deny")], False, ""),
    ("a denying service", [vote("ann"), vote("siem", "deny", kind="service")], True, "services cannot vote"),
    ("a denier without the role", [vote("ann"), vote("bob", "deny", roles=frozenset())], True, "none of the roles"),
]  # fmt: skip


@pytest.mark.parametrize(("voters", "granted", "why"), [row[1:] for row in VOTES], ids=[row[0] for row in VOTES])
def test_whose_voice_counts(voters: list[Vote], granted: bool, why: str) -> None:
    approval = ApprovalFacts(digest=DIGEST, voters=tuple(voters), any_of=APPROVER, issuers=frozenset({"eve"}))
    count = count_votes(approval, starter="sam", confirmer="cat", digest=DIGEST)
    assert count.granted is granted
    assert re.search(why, " ".join(reason for _, reason in count.ignored))
    assert bool(count.ignored) is bool(why)
    case = host_case(approval=approval, starter_id="sam", confirmer_id="cat", action_digest=DIGEST)
    assert judge(case, POLICY).allowed is granted


def test_persons_are_counted_never_keys() -> None:
    twice = ApprovalFacts(digest=DIGEST, required=2, voters=(vote("ann"), vote("ann")))
    count = count_votes(twice, starter="", confirmer="", digest=DIGEST)
    assert (count.approved_by, count.granted) == (("ann",), False)
    assert "persons are counted" in count.ignored[0][1]
    both = replace(twice, voters=(vote("ann"), vote("bob")))
    assert count_votes(both, starter="", confirmer="", digest=DIGEST).granted


def test_an_issuer_and_the_fresh_approver_are_one_pair_of_eyes() -> None:
    voters = (vote("ann"), vote("new", granted_by=frozenset({"ann"})))
    count = count_votes(
        ApprovalFacts(digest=DIGEST, required=2, voters=voters), starter="", confirmer="", digest=DIGEST
    )
    assert count.approved_by == ("ann",)
    assert not count.granted


def test_two_voters_whom_one_hand_armed_today_are_one_pair_of_eyes() -> None:
    """One administrator makes two responders and speaks with both: that is one voice, in either order."""
    voters = tuple(vote(who, granted_by=frozenset({"root"})) for who in ("bob", "ann"))
    asked = ApprovalFacts(digest=DIGEST, required=2, voters=voters)
    for facts in (asked, replace(asked, voters=voters[::-1])):
        count = count_votes(facts, starter="sam", confirmer="", digest=DIGEST)
        assert (count.approved_by, count.granted) == (("ann",), False)
        assert count.ignored == (("bob", "got role or key today from root, as did ann, who votes too"),)
    known = replace(asked, voters=(*voters, vote("zoe")))
    assert count_votes(known, starter="sam", confirmer="", digest=DIGEST).approved_by == ("ann", "zoe")
    early = replace(asked, voters=tuple(replace(each, setting_up=True) for each in voters))
    assert count_votes(early, starter="sam", confirmer="", digest=DIGEST).granted


def test_a_second_clean_key_does_not_wash_a_fresh_role() -> None:
    voters = (vote("ann", granted_by=frozenset()), vote("ann", granted_by=frozenset({"sam"})))
    count = count_votes(ApprovalFacts(digest=DIGEST, voters=voters), starter="sam", confirmer="", digest=DIGEST)
    assert not count.granted


def test_who_confirmed_the_alert_may_approve_what_a_person_started() -> None:
    approval = ApprovalFacts(digest=DIGEST, voters=(vote("cat"),))
    case = host_case(approval=approval, confirmer_id="cat", action_digest=DIGEST)
    assert judge(replace(case, automatic=False, starter_id="sam"), POLICY).allowed
    assert judge(case, POLICY).needs_approval


def test_a_deny_refuses_and_an_open_approval_asks_with_the_reasons() -> None:
    case = host_case(action_digest=DIGEST, starter_id="sam")
    asked = judge(
        replace(case, approval=ApprovalFacts(digest=DIGEST, required=2, voters=(vote("ann"), vote("sam")))), POLICY
    )
    assert asked.needs_approval
    assert asked.reasons == ("1 of 2 persons approved; sam does not count: started the run",)
    denied = judge(replace(case, approval=ApprovalFacts(digest=DIGEST, voters=(vote("bob", "deny"),))), POLICY)
    assert denied.refused
    assert denied.reasons == ("denied by bob",)


def test_an_approval_that_asks_for_nobody_still_wants_one_person() -> None:
    case = host_case(action_digest=DIGEST, approval=ApprovalFacts(digest=DIGEST, required=0))
    assert judge(case, POLICY).needs_approval


def test_approval_is_wanted_for_undo_too() -> None:
    case = host_case(direction="revert", action_digest=DIGEST, approval=ApprovalFacts(digest=DIGEST))
    assert stops(judge(case, POLICY)) == [("approval", "ask")]


def test_an_approval_of_a_group_covers_its_members_alone() -> None:
    target = Target(kind=EntityKind.HOST, id="ws-1")
    digests = [digest_of("edr", "isolate_host", target, {"host": f"ws-{n}"}, None, "p") for n in range(4)]
    whole = group_digest(digests[:3])
    approval = ApprovalFacts(digest=whole, members=frozenset(digests[:3]), voters=(vote("ann", digest=whole),))
    allowed = [judge(host_case(approval=approval, action_digest=one), POLICY).allowed for one in digests]
    assert allowed == [True, True, True, False]
    stretched = replace(approval, members=frozenset(digests))
    assert not judge(host_case(approval=stretched, action_digest=digests[3]), POLICY).allowed
    assert count_votes(approval, starter="", confirmer="", digest=whole).granted


def test_fifty_changes_after_the_approval_void_it_fifty_times() -> None:
    params = {f"p{n}": n for n in range(42)}
    asked: dict[str, Any] = {
        "adapter": "edr", "verb": "isolate_host", "target": Target(kind=EntityKind.HOST, id="ws-1"),
        "params": params, "lease": "24h", "playbook_digest": "p1",
    }  # fmt: skip
    approved = digest_of(**asked)
    approval = ApprovalFacts(digest=approved, voters=(vote("ann", digest=approved),))
    changes: list[dict[str, Any]] = [{"params": params | {name: 99}} for name in params]
    changes += [
        {"adapter": "edr2"}, {"verb": "lock_device"}, {"target": Target(kind=EntityKind.HOST, id="ws-2")},
        {"target": Target(kind=EntityKind.ACCOUNT, id="ws-1")}, {"lease": "25h"}, {"lease": None},
        {"playbook_digest": "p2"}, {"params": params | {"more": 1}},
    ]  # fmt: skip
    assert len(changes) == 50
    assert judge(host_case(approval=approval, action_digest=approved), POLICY).allowed
    judged = [judge(host_case(approval=approval, action_digest=digest_of(**(asked | c))), POLICY) for c in changes]
    assert [j.needs_approval for j in judged] == [True] * 50
    assert all("ask anew" in j.reasons[0] for j in judged)


def test_without_a_digest_nothing_is_approved() -> None:
    approval = ApprovalFacts(digest="", voters=(vote("ann", digest=""),), members=frozenset({""}))
    assert judge(host_case(approval=approval, action_digest=""), POLICY).needs_approval


@pytest.mark.parametrize("bad", [float("nan"), 2**60, {1: 2}, {"set"}, "\ud800", object()])
def test_parameters_that_have_no_canonical_form_are_refused_with_their_place(bad: Any) -> None:
    with pytest.raises(Invalid) as caught:
        digest_of("edr", "isolate_host", Target(kind=EntityKind.HOST, id="x"), {"x": bad}, None, "p")
    assert caught.value.problems[0].pointer == "/params"
