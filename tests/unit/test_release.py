"""Stories of the release gate: what must be proven before something is let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soar.errors import Invalid
from soar.model import EntityKind, Target, Verdict
from soar.release import Disposition, GateVerdict, HostProof, Reason, Release, ReleaseFacts, gate
from soar.verbs import VERBS, OnExpiry

CUT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
HOLDS = sorted(verb.name for verb in VERBS.values() if verb.contains and verb.on_expiry is OnExpiry.HOLD)
LIFTS = sorted(verb.name for verb in VERBS.values() if verb.contains and verb.on_expiry is OnExpiry.LIFT)


def wish(verb: str = "isolate_host", reason: Reason = Reason.RECOVERED, **facts: Any) -> Release:
    target = Target(kind=VERBS[verb].target_kind, id="it")
    if host := {name: facts.pop(name) for name in ("clean_check", "rebuilt_at") if name in facts}:
        facts["hosts"] = (HostProof(host=target, **host),)
    return Release(verb=VERBS[verb], target=target, contained_at=CUT, reason=reason, facts=ReleaseFacts(**facts))


def let_go(verb: str = "isolate_host", reason: Reason = Reason.RECOVERED, **facts: Any) -> GateVerdict:
    return gate(wish(verb, reason, **facts))


@pytest.mark.parametrize("verb", ["isolate_host", "segment_network", "lock_device", "quarantine_file", "stop_service"])
def test_a_host_is_let_go_after_a_clean_check_that_began_after_its_isolation(verb: str) -> None:
    verdict = let_go(verb, clean_check=(CUT + SECOND, True))
    assert verdict.allowed
    assert verdict.needs_approval
    assert verdict.missing == ()


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({}, "no clean check"),
        ({"clean_check": (CUT, True)}, "began before"),
        ({"clean_check": (CUT - HOUR, True)}, "began before"),
        ({"clean_check": (CUT + HOUR, False)}, "not clean"),
        ({"rebuilt_at": CUT - SECOND}, "no clean check"),
        ({"rebuilt_at": CUT}, "no clean check"),
        ({"rebuilt_at": CUT + HOUR, "clean_check": (CUT + 2 * HOUR, False)}, "not clean"),
        ({"credential_reset_at": CUT + HOUR, "sessions_revoked_at": CUT + HOUR}, "no clean check"),
    ],
)
def test_a_host_without_proof_stays_cut_and_the_mend_is_named(facts: dict[str, Any], word: str) -> None:
    verdict = let_go(**facts)
    assert not verdict.allowed
    assert len(verdict.missing) == 1
    assert word in verdict.missing[0]
    assert "verify_clean" in verdict.missing[0]
    assert "rebuild_host" in verdict.missing[0]


@pytest.mark.parametrize(
    "facts",
    [
        {"rebuilt_at": CUT + HOUR},
        {"rebuilt_at": CUT + HOUR, "clean_check": (CUT - HOUR, False)},
        {"rebuilt_at": CUT + HOUR, "clean_check": (CUT + SECOND, False)},
    ],
)
def test_a_rebuild_after_the_isolation_is_proof_too(facts: dict[str, Any]) -> None:
    assert let_go(**facts).allowed


def test_an_account_needs_a_new_credential_and_its_sessions_ended() -> None:
    both: dict[str, Any] = {"credential_reset_at": CUT + HOUR, "sessions_revoked_at": CUT}
    assert let_go("disable_account", **both).allowed
    nothing = let_go("disable_account")
    assert [("reset_password" in text, "revoke_sessions" in text) for text in nothing.missing] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {"credential_reset_at": CUT + HOUR},
        {"sessions_revoked_at": CUT + HOUR},
        {"credential_reset_at": CUT, "sessions_revoked_at": CUT},
        {"credential_reset_at": CUT - HOUR, "sessions_revoked_at": CUT},
        {"credential_reset_at": CUT + HOUR, "sessions_revoked_at": CUT - SECOND},
        {"clean_check": (CUT + HOUR, True)},
    ],
)
def test_an_account_with_half_the_proof_stays_disabled(facts: dict[str, Any]) -> None:
    assert not let_go("disable_account", **facts).allowed


def test_a_key_that_leaked_never_comes_back_unless_that_was_a_mistake() -> None:
    verdict = let_go("revoke_credential", credential_reset_at=CUT + SECOND)
    assert not verdict.allowed
    assert "destroyed" in verdict.missing[0]
    assert let_go("revoke_credential", Reason.MISTAKEN).allowed


def test_a_network_is_let_go_when_each_affected_host_of_the_incident_is_clean() -> None:
    clean, dirty = (
        HostProof(host=Target.parse(f"host:{name}"), clean_check=(CUT + HOUR, good))
        for name, good in (("a", True), ("b", False))
    )
    unseen = HostProof(host=Target.parse("host:c"), clean_check=(CUT - HOUR, True))
    assert let_go("segment_network", hosts=(clean,)).allowed
    refused = let_go("segment_network", hosts=(clean, dirty, unseen))
    assert not refused.allowed
    assert [("host:b" in text, "host:c" in text) for text in refused.missing] == [(True, False), (False, True)]


def test_where_no_host_was_affected_the_second_person_is_the_gate_of_a_network() -> None:
    verdict = let_go("segment_network")
    assert (verdict.allowed, verdict.needs_approval) == (True, True)


def test_for_a_service_or_a_mail_the_second_person_is_the_gate() -> None:
    for verb in ("fail_over", "quarantine_email"):
        verdict = let_go(verb)
        assert (verdict.allowed, verdict.needs_approval) == (True, True)


@pytest.mark.parametrize("verb", HOLDS)
@pytest.mark.parametrize("reason", list(Reason))
def test_no_hold_ends_without_a_second_person(verb: str, reason: Reason) -> None:
    assert let_go(verb, reason).needs_approval
    assert gate(replace(wish(verb, reason), by_hand=False)).needs_approval
    assert let_go(verb, reason, others_holding=2).needs_approval


@pytest.mark.parametrize("verb", ["isolate_host", "disable_account"])
def test_only_a_mistake_or_another_hold_spares_the_proof(verb: str) -> None:
    assert [let_go(verb, reason).allowed for reason in Reason] == [False, True, False, False]
    other = let_go(verb, Reason.SUPERSEDED, others_holding=1)
    assert other.allowed
    assert "1 other holds" in other.said[-1]


@pytest.mark.parametrize("verb", LIFTS)
def test_a_block_is_lifted_without_proof(verb: str) -> None:
    at_its_time = gate(replace(wish(verb), by_hand=False, verdict=Verdict.MALICIOUS))
    assert (at_its_time.allowed, at_its_time.needs_approval) == (True, False)
    early = gate(wish(verb))
    assert (early.allowed, early.needs_approval) == (True, False)
    malicious = gate(replace(wish(verb), verdict=Verdict.MALICIOUS))
    assert (malicious.allowed, malicious.needs_approval) == (True, True)
    assert "malicious" in malicious.said[0]


@pytest.mark.parametrize("verb", ["release_host", "collect_evidence", "kill_process"])
def test_what_holds_nothing_cannot_be_released(verb: str) -> None:
    with pytest.raises(Invalid) as caught:
        let_go(verb)
    assert caught.value.problems[0].pointer == "/verb"
    assert ("isolate_host" in caught.value.problems[0].mend) is (verb == "release_host")


def test_every_kind_of_hold_is_known_to_the_gate() -> None:
    kinds = {VERBS[name].target_kind for name in HOLDS}
    assert kinds == {EntityKind.HOST, EntityKind.ACCOUNT, EntityKind.SERVICE, EntityKind.MAILBOX, EntityKind.KEY}
    assert {d.value for d in Disposition} == {"released", "kept_to_date", "handed_over", "destroyed", "target_gone"}
