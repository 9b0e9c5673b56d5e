"""Signatures of playbooks: the standard's worked example, every algorithm, and everything that must not count."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from hypothesis import given
from hypothesis import strategies as st

from soar import canonical, strict_json
from soar.errors import Invalid
from soar.playbook.trust import keys, signing
from soar.playbook.trust.keys import Keyring
from tests.unit.signed_playbooks import (
    DOCUMENT,
    KINDS,
    NOW,
    certificate,
    pem,
    private,
    resigned,
    ring,
    signed,
    x5c,
)

NOBODY = Keyring()
IN_TIME = datetime(2023, 3, 1, tzinfo=UTC)


def codes(document: Any, now: datetime = NOW, known: Keyring = NOBODY) -> list[str]:
    """The codes of the only signature's problems."""
    (checked,) = signing.check(document, now, known)
    return [problem.code for problem in checked.problems]


@pytest.fixture(scope="module")
def vector(samples: Path) -> Any:
    return json.loads((samples / "cacao/playbooks-oasis/signature-vector-rs256.json").read_bytes())


# --- the known answer -----------------------------------------------------------------------------


def test_the_worked_example_gives_the_text_that_the_standard_prints(vector: Any) -> None:
    whole = vector["to_sign"]
    assert canonical.dumps(whole).decode() == vector["jcs"]
    assert signing.signed_text(whole, whole["signatures"], "sha-256").decode() == vector["sha256_hex"]


def test_the_known_answer_verifies_alone_and_beside_another_signature(vector: Any) -> None:
    both, alone = vector["signed_playbooks"]
    assert [each.good for each in signing.check(alone, IN_TIME, NOBODY)] == [True]
    assert [each.good for each in signing.check(both, IN_TIME, NOBODY)] == [False, True]


def test_no_single_byte_of_the_known_answer_can_be_changed(vector: Any) -> None:
    text = canonical.dumps(vector["signed_playbooks"][1])
    still_good = [at for at in range(len(text)) if good_after_flip(text, at, 1)]
    assert len(text) > 1400
    assert still_good == []
    print(f"{len(text)} changed bytes of the worked example, none verifies")


def good_after_flip(text: bytes, at: int, mask: int) -> bool:
    """Whether some signature is good after bits of one byte are turned."""
    changed = bytearray(text)
    changed[at] ^= mask
    try:
        document = strict_json.parse(bytes(changed))
    except Invalid:
        return False
    return any(each.good for each in signing.check(document, IN_TIME, NOBODY))


def test_no_single_bit_of_a_signed_playbook_can_be_turned() -> None:
    text = canonical.dumps(signed(now=IN_TIME))
    assert good_after_flip(text, 0, 0)
    assert [(at, bit) for at in range(len(text)) for bit in range(8) if good_after_flip(text, at, 1 << bit)] == []
    print(f"{8 * len(text)} turned bits of an Ed25519 signed playbook, none verifies")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé\n\"", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(before=JSON, after=JSON)
def test_a_signature_holds_exactly_as_long_as_the_value_is_the_same(before: Any, after: Any) -> None:
    document = signed({**DOCUMENT, "x": before})
    assert codes({**document, "x": copy.deepcopy(before)}) == []
    same = canonical.dumps(before) == canonical.dumps(after)
    assert (codes({**document, "x": after}) == []) is same


# --- algorithms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", ["sha-256", "sha-384", "sha-512"])
@pytest.mark.parametrize("algorithm", KINDS)
def test_every_algorithm_with_every_hash_signs_and_verifies(algorithm: str, hashed: str) -> None:
    key = private(KINDS[algorithm])
    document = signed(key=key, algorithm=algorithm, hash_algorithm=hashed)
    assert codes(document) == []
    assert codes({**document, "name": "another"}) == ["signature_wrong"]


def test_the_elliptic_curves_use_the_fixed_length_form_of_jwa() -> None:
    for algorithm, octets in (("ES256", 64), ("ES384", 96), ("ES512", 132)):
        value = signed(key=private(KINDS[algorithm]))["signatures"][0]["value"]
        assert len(base64.urlsafe_b64decode(value + "==")) == octets


REFUSED = [
    "Ed448", "XMSS-SHA2_10_256", "XMSS-SHA2_16_256", "XMSS-SHA2_20_256", "LMS_SHA256_M32_H5", "LMS_SHA256_M32_H10",
    "LMS_SHA256_M32_H15", "LMS_SHA256_M32_H20", "LMS_SHA256_M32_H25", "HS256", "HS384", "HS512",
]  # fmt: skip


@pytest.mark.parametrize("algorithm", REFUSED)
def test_an_algorithm_that_is_known_and_not_taken_is_refused_by_name(algorithm: str) -> None:
    (own,) = signed()["signatures"]
    (checked,) = signing.check({**DOCUMENT, "signatures": [{**own, "algorithm": algorithm}]}, NOW, NOBODY)
    assert [each.code for each in checked.problems] == ["refused_algorithm"]
    assert algorithm in checked.problems[0].message
    with pytest.raises(Invalid, match="refused_algorithm"):
        signed(algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["none", "", "rs256", "RS257", "ES256K"])
def test_an_unknown_algorithm_is_no_algorithm(algorithm: str) -> None:
    (own,) = signed()["signatures"]
    assert codes({**DOCUMENT, "signatures": [{**own, "algorithm": algorithm}]}) == ["unknown_algorithm"]


def test_an_unknown_hash_a_weak_key_and_a_key_of_another_kind_are_refused() -> None:
    with pytest.raises(Invalid, match="unknown_hash"):
        signed(hash_algorithm="md5")
    with pytest.raises(Invalid, match="weak_key"):
        signed(key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(Invalid, match="wrong_key"):
        signed(key=private("p256"), algorithm="ES384")
    with pytest.raises(Invalid, match="wrong_key"):
        signed(key=ed448.Ed448PrivateKey.generate())
    (own,) = signed(key=private("p256"))["signatures"]
    assert codes({**DOCUMENT, "signatures": [{**own, "algorithm": "RS256"}]}) == ["wrong_key"]


# --- which key ------------------------------------------------------------------------------------


def test_a_chain_gives_the_key_of_its_first_certificate() -> None:
    root, leaf = private("p256", 1), private("ed25519", 1)
    chain = [certificate("leaf", leaf, "root", root), certificate("root", root, "root", root)]
    document = resigned(signed(key=leaf), leaf, public_key=None, public_cert_chain=x5c(*chain))
    (checked,) = signing.check(document, NOW, NOBODY)
    assert checked.good
    assert checked.key == keys.public_of(leaf)


def test_a_chain_in_the_wrong_order_out_of_date_or_of_another_issuer_is_refused() -> None:
    root, other, leaf = private("p256", 1), private("p256", 2), private("ed25519", 1)
    above = certificate("root", root, "root", root)
    cases = {
        "chain_broken": [certificate("leaf", leaf, "root", other), above],
        "certificate_not_in_force": [certificate("leaf", leaf, "root", root, days=1), above],
    }
    for code, chain in cases.items():
        document = resigned(signed(key=leaf), leaf, public_key=None, public_cert_chain=x5c(*chain))
        assert codes(document, NOW + timedelta(days=3) if "force" in code else NOW) == [code]
    document = resigned(signed(key=leaf), leaf, public_key=None, public_cert_chain=[])
    assert codes(document) == ["key_unreadable"]


def test_a_thumbprint_or_an_address_names_a_key_of_the_ring_and_nothing_is_fetched() -> None:
    leaf = private("ed25519", 1)
    own = certificate("leaf", leaf, "leaf", leaf)
    der = base64.b64decode(x5c(own)[0])
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    body = base64.encodebytes(der).decode()
    text = f"Name: ana\nURL: https://certs.example/a\n-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    known = keys.keyring({"ana.pem": text})
    for name, value in (("thumbprint", thumbprint), ("cert_url", "https://certs.example/a")):
        document = resigned(signed(key=leaf), leaf, **{"public_key": None, name: value})
        assert codes(document, known=known) == []
        (checked,) = signing.check(document, NOW, NOBODY)
        assert [each.code for each in checked.problems] == ["key_unknown"]
        assert "Nothing is fetched" in checked.problems[0].mend


def test_exactly_one_property_names_the_key() -> None:
    key = private("ed25519")
    assert codes(resigned(signed(), key, public_key=None)) == ["key_count"]
    assert codes(resigned(signed(), key, thumbprint="x")) == ["key_count"]


# --- what a signature is bound to -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"related_to": "playbook--b0777575-5c4c-4710-9f01-15776103837f"}, "wrong_playbook"),
        ({"related_version": "2026-11-01T09:00:00.000Z"}, "wrong_version"),
        ({"revoked": True, "valid_until": "2026-11-20T09:00:00.000Z"}, "signature_revoked"),
        ({"valid_from": "2026-11-25T09:00:00.000Z"}, "signature_not_yet_valid"),
        ({"valid_until": "2026-11-24T09:00:00.000Z"}, "signature_expired"),
        ({"valid_from": "2026-11-23T09:00:00.000Z", "valid_until": "2026-11-23T09:00:00.000Z"}, "bad_timestamp"),
        ({"modified": "2026-11-23T09:00:00.000Z"}, "bad_timestamp"),
        ({"created": "2026-02-30T09:00:00.000Z"}, "bad_timestamp"),
        ({"created": "2026-11-23T09:00:00+01:00"}, "bad_timestamp"),
        ({"type": "JSS"}, "wrong_type"),
        ({"id": "jss--1"}, "bad_id"),
        ({"signee": None}, "missing_property"),
        ({"revoked": "no"}, "wrong_type"),
    ],
)
def test_a_signature_that_its_owner_made_for_something_else_does_not_count(changes: Any, code: str) -> None:
    key = private("ed25519")
    assert codes(resigned(signed(), key)) == []
    assert codes(resigned(signed(), key, **changes)) == [code]


def test_a_value_has_one_spelling() -> None:
    (own,) = signed()["signatures"]
    last = own["value"][-1]
    twin = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = twin[twin.index(last) ^ 1]
    for value in (own["value"][:-1] + other, own["value"] + "==", own["value"] + "\n", "", "é"):
        assert codes({**DOCUMENT, "signatures": [{**own, "value": value}]}) == ["bad_encoding"]


def test_all_that_is_wrong_with_a_signature_is_told_at_once() -> None:
    (own,) = signed()["signatures"]
    broken = {**own, "type": "x", "id": "y", "created": 3, "thumbprint": "z"}
    found = codes({**DOCUMENT, "signatures": [broken]})
    assert sorted(found) == ["bad_id", "bad_timestamp", "key_count", "wrong_type", "wrong_type"]


# --- several signatures ---------------------------------------------------------------------------


def test_signatures_beside_each_other_do_not_touch_one_another() -> None:
    two = signed(signed(), private("p256"), by="ben", number=2)
    assert [each.good for each in signing.check(two, NOW, NOBODY)] == [True, True]
    broken = {**two, "signatures": [{**two["signatures"][0], "signee": "eve"}, two["signatures"][1]]}
    assert [each.good for each in signing.check(broken, NOW, NOBODY)] == [False, True]


def test_a_countersignature_covers_the_value_that_it_confirms() -> None:
    once = signed(by="ana")
    first = once["signatures"][0]["id"]
    both = signed(once, private("p256"), by="ben", number=2, confirms=first)
    (checked,) = signing.check(both, NOW, NOBODY)
    assert checked.countersigned is not None
    assert (checked.good, checked.countersigned.good, checked.countersigned.signee) == (True, True, "ben")
    (own,) = both["signatures"]
    (resigned_own,) = signed(by="ana", now=NOW + timedelta(seconds=1))["signatures"]
    moved = {**both, "signatures": [{**resigned_own, "signature": own["signature"]}]}
    (checked,) = signing.check(moved, NOW, NOBODY)
    assert checked.countersigned is not None
    assert (checked.good, checked.countersigned.good) == (True, False)
    third = {**both, "signatures": [{**own, "signature": {**own["signature"], "signee": "eve"}}]}
    (checked,) = signing.check(third, NOW, NOBODY)
    assert checked.countersigned is not None
    assert (checked.good, checked.countersigned.good) == (True, False)


def test_a_signature_that_is_not_there_or_is_confirmed_already_is_not_confirmed() -> None:
    once = signed()
    first = once["signatures"][0]["id"]
    twice = signed(once, number=2, confirms=first)
    for document, wanted in ((once, "jss--x"), (twice, first)):
        with pytest.raises(Invalid, match="not_found"):
            signed(document, number=3, confirms=wanted)


# --- hostile documents ----------------------------------------------------------------------------


@pytest.mark.parametrize("signatures", ["x", 3, {}, [3], [None], [{}], [[]], [{"type": "jss"}] * 33, {"a": "b"}])
def test_signatures_of_any_shape_are_told_and_never_raise(signatures: Any) -> None:
    found = signing.check({**DOCUMENT, "signatures": signatures}, NOW, NOBODY)
    assert all(each.problems for each in found)
    assert len(found) <= 1


@given(value=JSON, name=st.sampled_from([*signed()["signatures"][0], "public_cert_chain", "cert_url", "signature"]))
def test_no_value_of_any_property_makes_the_check_raise(value: Any, name: str) -> None:
    (own,) = signed()["signatures"]
    if value != own.get(name):
        (checked,) = signing.check({**DOCUMENT, "signatures": [{**own, name: value}]}, NOW, NOBODY)
        assert not checked.good or name == "signature"


def test_countersignatures_nest_only_so_deep() -> None:
    (own,) = signed()["signatures"]
    for _ in range(60):
        own = {**signed()["signatures"][0], "signature": own}
    (checked,) = signing.check({**DOCUMENT, "signatures": [own]}, NOW, NOBODY)
    depth = 0
    inner: signing.Checked | None = checked
    while inner is not None:
        depth, inner = depth + 1, inner.countersigned
    assert depth == signing.MOST_COUNTERSIGNED + 2


@pytest.mark.parametrize("document", [{}, {"type": "playbook"}, {**DOCUMENT, "id": 3}, {**DOCUMENT, "signatures": [1]}])
def test_what_is_no_playbook_is_not_signed(document: Any) -> None:
    with pytest.raises(Invalid):
        signing.sign(document, private("ed25519"), signature_id="jss--1", signee="ana", now=NOW)


# --- the ring -------------------------------------------------------------------------------------


def test_the_ring_knows_keys_by_their_names() -> None:
    known = ring(ana=private("ed25519"), ben=private("rsa"))
    entry = known.of(keys.public_of(private("rsa")))
    assert entry is not None
    assert entry.names == {"ben"}
    assert known.of(keys.public_of(private("p256"))) is None


def test_every_file_of_the_ring_that_is_wrong_is_named() -> None:
    good = pem(private("ed25519"))
    files = {
        "nobody.pem": good,
        "two.pem": f"Name: a\n{good}{good}",
        "text.pem": "Name: a\n",
        "private.pem": "Name: a\n-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n",
        "torn.pem": f"Name: a\n{good[:60]}",
        "a.pem": f"Name: a\n{good}",
        "b.pem": f"Name: b\n{good}",
    }
    with pytest.raises(Invalid) as caught:
        keys.keyring(files)
    told = {problem.message.partition(":")[0]: problem.code for problem in caught.value.problems}
    assert told == {
        "nobody.pem": "nameless_key",
        "two.pem": "key_unreadable",
        "text.pem": "key_unreadable",
        "private.pem": "key_unreadable",
        "torn.pem": "key_unreadable",
        "b.pem": "duplicate_key",
    }
