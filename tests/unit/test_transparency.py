"""The Merkle tree agrees with others' vectors, proofs cannot be bent, notes cannot be forged."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.merkle import (
    EMPTY,
    Levels,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from evidence.note import (
    Checkpoint,
    key_id,
    open_note,
    read_verifier_key,
    sign,
    sign_note,
    verifier_key,
    verify_note,
)
from evidence.signer import Ed25519Signer
from soar.errors import Conflict, Invalid, NotFound
from soar.ports import Signer

leaves_of = st.lists(st.binary(max_size=20), min_size=1, max_size=70)


def plain_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(plain_root(hashes[:split]), plain_root(hashes[split:]))


def vectors(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) | {"file": str(path)} for path in sorted(folder.rglob("*.json"))]


def test_the_inclusion_vectors_of_others_agree(samples: Path) -> None:
    told = vectors(samples / "evidence" / "merkle" / "inclusion")
    for each in told:
        found = verify_inclusion(
            leaf=base64.b64decode(each["leafHash"]), index=each["leafIdx"], size=each["treeSize"],
            proof=[base64.b64decode(part) for part in each["proof"] or []], root=base64.b64decode(each["root"] or ""),
        )  # fmt: skip
        assert found is not each["wantErr"], each["file"]
    print(f"{len(told)} of {len(told)} inclusion vectors agree")
    assert len(told) > 30


def test_the_consistency_vectors_of_others_agree(samples: Path) -> None:
    told = vectors(samples / "evidence" / "merkle" / "consistency")
    for each in told:
        found = verify_consistency(
            size1=each["size1"], size2=each["size2"], proof=[base64.b64decode(part) for part in each["proof"] or []],
            root1=base64.b64decode(each["root1"] or ""), root2=base64.b64decode(each["root2"] or ""),
        )  # fmt: skip
        assert found is not each["wantErr"], each["file"]
    print(f"{len(told)} of {len(told)} consistency vectors agree")
    assert len(told) > 30


def test_the_known_roots_of_the_empty_tree_and_the_empty_leaf() -> None:
    assert root([]) == hashlib.sha256().digest()
    assert root([b""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(leaves_of)
def test_three_ways_to_the_root_agree(leaves: list[bytes]) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert root(leaves) == Levels(hashes).root() == plain_root(hashes)


@given(leaves_of, st.data())
def test_a_tree_goes_on_from_its_frontier(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    first = Tree()
    for leaf in leaves[:cut]:
        first.append(leaf)
    again = Tree(first.size, first.frontier)
    assert [again.append(leaf) for leaf in leaves[cut:]] == list(range(cut, len(leaves)))
    assert again.root() == root(leaves)
    assert len(again.frontier) == len(leaves).bit_count()


def test_a_frontier_that_does_not_fit_the_size_is_refused() -> None:
    for size, frontier in ((3, [b"x"]), (-1, []), (0, [b"x"])):
        with pytest.raises(ValueError, match="full subtrees"):
            Tree(size, frontier)


@given(leaves_of, st.data())
def test_every_leaf_is_proved_and_no_flipped_bit_passes(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, whole, leaf = inclusion_proof(leaves, index), root(leaves), leaf_hash(leaves[index])
    parts = [leaf, whole, *proof]

    def holds(parts: list[bytes], index: int = index, size: int = len(leaves)) -> bool:
        return verify_inclusion(leaf=parts[0], root=parts[1], proof=parts[2:], index=index, size=size)

    assert holds(parts)
    bit = data.draw(st.integers(0, len(parts) * 256 - 1))
    bent = [bytearray(part) for part in parts]
    bent[bit // 256][bit % 256 // 8] ^= 1 << bit % 8
    assert not holds([bytes(part) for part in bent])
    assert not holds([*parts, whole])
    assert not proof or not holds(parts[:-1])
    assert not holds(parts, index=len(leaves))
    assert not holds(parts, index=-1)


@given(leaves_of, st.data())
def test_every_older_tree_is_proved_and_no_flipped_bit_passes(leaves: list[bytes], data: st.DataObject) -> None:
    size1 = data.draw(st.integers(1, len(leaves)))
    proof, root1, root2 = consistency_proof(leaves, size1), root(leaves[:size1]), root(leaves)
    parts = [root1, root2, *proof]

    def holds(parts: list[bytes], size1: int = size1) -> bool:
        return verify_consistency(size1=size1, size2=len(leaves), root1=parts[0], root2=parts[1], proof=parts[2:])

    assert holds(parts)
    bit = data.draw(st.integers(0, len(parts) * 256 - 1))
    bent = [bytearray(part) for part in parts]
    bent[bit // 256][bit % 256 // 8] ^= 1 << bit % 8
    assert not holds([bytes(part) for part in bent])
    assert not holds([*parts, root2])
    assert not holds(parts, size1=0)
    assert not holds(parts, size1=len(leaves) + 1)


@given(leaves_of, st.data())
def test_a_rewritten_history_has_no_proof(leaves: list[bytes], data: st.DataObject) -> None:
    size1 = data.draw(st.integers(1, len(leaves)))
    at = data.draw(st.integers(0, size1 - 1))
    rewritten = [*leaves]
    rewritten[at] += b"!"
    proof = consistency_proof(rewritten, size1)
    assert not verify_consistency(
        size1=size1, size2=len(leaves), root1=root(leaves[:size1]), root2=root(rewritten), proof=proof
    )


def test_a_proof_outside_the_tree_cannot_be_asked_for() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match="not in a tree"):
            inclusion_proof([b"a", b"b", b"c"], index)
    for size in (0, 4):
        with pytest.raises(ValueError, match="no proof"):
            consistency_proof([b"a", b"b", b"c"], size)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Ed25519Signer:
    return Ed25519Signer.generate(tmp_path_factory.mktemp("key") / "log.pem", "soar.example/log")


def test_the_worked_example_of_the_signed_note_specification_opens() -> None:
    # Go's golang.org/x/mod/sumdb/note, documented example: key PeterNeumann, type 1.
    name, key = read_verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(note, name, key).startswith("If you think")
    with pytest.raises(Invalid):
        open_note(note.replace("answer", "ANSWER"), name, key)


def test_a_checkpoint_comes_back_from_its_note(signer: Ed25519Signer) -> None:
    port: Signer = signer
    checkpoint = Checkpoint("soar.example/log", 20852163, root([b"a", b"b"]))
    note = sign(checkpoint, port)
    assert note.splitlines()[:3] == ["soar.example/log", "20852163", base64.b64encode(checkpoint.root).decode()]
    assert note.splitlines()[4].startswith("— soar.example/log ")
    assert verify_note(note, signer.key_name, signer.public_key) == checkpoint


def test_a_witness_s_line_is_passed_over_and_a_wrong_one_of_ours_is_not(signer: Ed25519Signer) -> None:
    note = sign(Checkpoint("o", 1, EMPTY), signer)
    line = base64.b64encode(b"\1\2\3\4" + bytes(72)).decode()
    assert verify_note(f"{note}— witness.example/w {line}\n", signer.key_name, signer.public_key).size == 1
    ours = base64.b64encode(key_id(signer.key_name, signer.public_key) + bytes(64)).decode()
    with pytest.raises(Invalid, match="does not fit"):
        verify_note(f"{note}— {signer.key_name} {ours}\n", signer.key_name, signer.public_key)


@settings(max_examples=150)
@given(st.data())
def test_no_changed_character_of_a_note_passes(signer: Ed25519Signer, data: st.DataObject) -> None:
    note = sign(Checkpoint("soar.example/log", 7, EMPTY), signer)
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters().filter(lambda c: c != note[at]))
    with pytest.raises(Invalid):
        verify_note(note[:at] + other + note[at + 1 :], signer.key_name, signer.public_key)


@pytest.mark.parametrize(
    "text", ["", "\n", "x", "a\n1\n", "a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n", "a\n\n1\n"]
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(signer: Ed25519Signer, text: str) -> None:
    with pytest.raises(Invalid):
        verify_note(sign_note(text, signer), signer.key_name, signer.public_key)


def test_another_key_or_name_does_not_open_a_note(signer: Ed25519Signer, tmp_path: Path) -> None:
    note = sign(Checkpoint("o", 1, EMPTY), signer)
    other = Ed25519Signer.generate(tmp_path / "other.pem", signer.key_name)
    for name, key in ((signer.key_name, other.public_key), ("other", signer.public_key), (signer.key_name, b"short")):
        with pytest.raises(Invalid):
            verify_note(note, name, key)


def test_a_key_file_is_private_made_once_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "log.pem"
    made = Ed25519Signer.generate(path, "log")
    assert path.stat().st_mode & 0o777 == 0o600
    assert Ed25519Signer.load(path, "log").sign(b"x") == made.sign(b"x")
    assert read_verifier_key(made.verifier_key()) == ("log", made.public_key)
    with pytest.raises(Conflict):
        Ed25519Signer.generate(path, "log")
    assert [each.name for each in tmp_path.iterdir()] == ["log.pem"]


def test_a_key_file_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.pem"
    with pytest.raises(NotFound):
        Ed25519Signer.load(path, "log")
    Ed25519Signer.generate(path, "log")
    path.chmod(0o644)
    with pytest.raises(Invalid, match="others may read"):
        Ed25519Signer.load(path, "log")
    path.chmod(0o600)
    path.write_bytes(b"no key")
    with pytest.raises(Invalid, match="no unencrypted PEM"):
        Ed25519Signer.load(path, "log")


@pytest.mark.parametrize("text", ["", "a", "a+b", "a+b+c", "a+00000000+AQ==", "a b+00000000+AQ==", "+00000000+AQ=="])
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_verifier_key(text)


def test_a_verifier_key_with_another_id_is_refused(signer: Ed25519Signer) -> None:
    text = verifier_key("log", signer.public_key).replace("log+", "lag+")
    with pytest.raises(Invalid):
        read_verifier_key(text)
