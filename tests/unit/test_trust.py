"""Who stands for a playbook, and whether a new run may begin."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from playbooks import shipped
from soar.errors import Refused
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.playbook.trust import gate
from soar.playbook.trust.gate import TrustPolicy, Verdict
from soar.playbook.trust.keys import Keyring
from soar.playbook.yaml import yaml_form
from tests.unit.signed_playbooks import NOW, private, resigned, ring, signed

SIGNED_ONLY, ANY = TrustPolicy(signed_only=True), TrustPolicy()
KEY = private("ed25519")
BOOK: Playbook = yaml_form.load(next(iter(shipped())).read_bytes())


def judged(document: Any, policy: TrustPolicy = SIGNED_ONLY, known: Keyring | None = None, **changes: Any) -> Verdict:
    """The verdict on what this document becomes when it is read."""
    book = dataclasses.replace(cacao_form.from_document(document), **changes)
    return gate.verdict(book, cacao_form.to_document(book), NOW, ring(ana=KEY) if known is None else known, policy)


def of(**changes: Any) -> dict[str, Any]:
    """The document of a shipped playbook."""
    return cacao_form.to_document(dataclasses.replace(BOOK, **changes))


def why(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_playbook_signed_by_somebody_we_trust_runs_and_says_who() -> None:
    verdict = judged(signed(of(), KEY))
    assert verdict.runs
    assert [(signer.name, signer.countersigned_by) for signer in verdict.signers] == [("ana", ())]


def test_an_unsigned_playbook_is_refused_only_where_that_is_asked() -> None:
    assert why(judged(of())) == ["unsigned"]
    assert judged(of(), ANY).runs


def test_a_good_signature_by_an_unknown_key_is_reported_as_such() -> None:
    verdict = judged(signed(of(), private("p256")))
    assert why(verdict) == ["signature_not_trusted"]
    assert "by a key that is not trusted" in verdict.reasons[0].message
    assert judged(signed(of(), private("p256")), ANY).runs


def test_a_trusted_key_signs_only_under_its_own_names() -> None:
    verdict = judged(signed(of(), KEY, by="the commander"))
    assert why(verdict) == ["signature_not_trusted"]
    assert 'the key of ana does not sign as "the commander"' in verdict.reasons[0].message


def test_what_was_changed_after_it_was_signed_does_not_run() -> None:
    document = signed(of(), KEY)
    assert why(judged({**document, "name": "Wipe everything"})) == ["signature_wrong"]


def test_one_trusted_signature_is_enough_beside_others_that_are_wrong() -> None:
    document = signed(signed(of(), private("p256"), by="eve"), KEY, number=2)
    document["signatures"][0]["value"] = "AAAA"
    assert [signer.name for signer in judged(document).signers] == ["ana"]
    assert judged(document).runs


def test_every_signature_that_does_not_count_is_told() -> None:
    document = signed(signed(of(), private("p256"), by="eve"), private("rsa"), by="ben", number=2)
    assert why(judged(document)) == ["signature_not_trusted"] * 2


def test_a_countersignature_is_told_only_when_it_is_trusted() -> None:
    once = signed(of(), KEY)
    both = signed(once, private("p256"), by="ben", number=2, confirms=once["signatures"][0]["id"])
    assert judged(both).signers[0].countersigned_by == ()
    assert judged(both, known=ring(ana=KEY, ben=private("p256"))).signers[0].countersigned_by == ("ben",)


def test_a_countersignature_alone_does_not_make_a_strangers_signature_count() -> None:
    once = signed(of(), private("p256"), by="eve")
    both = signed(once, KEY, number=2, confirms=once["signatures"][0]["id"])
    assert not judged(both).runs


def test_a_signature_is_taken_back_by_a_newer_version_of_it() -> None:
    old = signed(of(), KEY)
    later = resigned(signed(of(), KEY, now=NOW + timedelta(seconds=1)), KEY, revoked=True)
    document = {**old, "signatures": [*old["signatures"], *later["signatures"]]}
    assert why(judged(document)) == ["signature_not_trusted", "signature_revoked"]
    assert "replaced by a newer version" in judged(document).reasons[0].message


def test_nobody_else_can_take_a_signature_back() -> None:
    old = signed(of(), KEY)
    other = private("p256")
    eve = resigned(signed(of(), other, by="ana", now=NOW + timedelta(seconds=1)), other, revoked=True)
    document = {**old, "signatures": [*old["signatures"], *eve["signatures"]]}
    assert judged(document).runs
    forged = {**document["signatures"][0], "modified": "2026-11-25T09:00:00.000Z", "revoked": True}
    assert judged({**old, "signatures": [*old["signatures"], forged]}).runs


@pytest.mark.parametrize("policy", [ANY, SIGNED_ONLY])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"revoked": True, "valid_until": "2020-01-01T00:00:00.000Z"}, "playbook_revoked"),
        ({"valid_from": "2026-11-24T09:00:00.001Z"}, "playbook_not_yet_valid"),
        ({"valid_until": "2026-11-24T09:00:00.000Z"}, "playbook_expired"),
        ({"valid_until": "tomorrow"}, "bad_timestamp"),
    ],
)
def test_dates_and_revocation_hold_whoever_signed(changes: Any, code: str, policy: TrustPolicy) -> None:
    assert why(judged(signed(of(**changes), KEY), policy)) == [code]


def test_dates_that_are_met_do_not_stand_in_the_way() -> None:
    dates = {"valid_from": "2026-11-24T09:00:00.000Z", "valid_until": "2026-11-24T09:00:00.001Z"}
    assert judged(signed(of(**dates), KEY)).runs


def test_what_is_run_must_be_what_was_signed() -> None:
    document = signed(of(), KEY)
    other = dataclasses.replace(cacao_form.from_document(document), name="Another")
    verdict = gate.verdict(other, document, NOW, ring(ana=KEY), SIGNED_ONLY)
    assert why(verdict) == ["not_what_was_signed"]


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.stem)
def test_every_shipped_playbook_keeps_its_signature_through_the_model(file: Any) -> None:
    document = signed(cacao_form.to_document(yaml_form.load(file.read_bytes())), KEY)
    assert judged(document).runs


def test_the_gate_tells_every_reason_at_once() -> None:
    book = cacao_form.from_document(of(revoked=True))
    with pytest.raises(Refused) as caught:
        gate.Gate(ring(ana=KEY), SIGNED_ONLY).admit(book, NOW)
    assert caught.value.details["reasons"] == ["the playbook is revoked", "the playbook is not signed"]
    gate.Gate().admit(cacao_form.from_document(of()), NOW)
    gate.Gate(ring(ana=KEY), SIGNED_ONLY).admit(cacao_form.from_document(signed(of(), KEY)), NOW)
