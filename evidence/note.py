"""Signed notes and checkpoints: C2SP signed-note, C2SP tlog-checkpoint, Ed25519 (RFC 8032).

A note is text, an empty line, and one line for each signature: an em dash, the key's name and
base64(key id || signature). The key id is SHA-256(name, newline, type, public key)[:4]; the type
of Ed25519 is 0x01. The text of a checkpoint is origin, size and root on a line each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from dataclasses import dataclass

from soar.errors import Invalid, Problem
from soar.ports import Signer

ED25519 = b"\x01"
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 100
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: who it is, how many leaves it has, and their root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(key_name: str, public_key: bytes) -> bytes:
    """The four bytes that point a signature at its key."""
    return hashlib.sha256(key_name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


def verifier_key(key_name: str, public_key: bytes) -> str:
    """The key as C2SP vkey text: name+id+base64(type || key)."""
    known = base64.b64encode(ED25519 + public_key).decode()
    return f"{key_name}+{key_id(key_name, public_key).hex()}+{known}"


def read_verifier_key(text: str) -> tuple[str, bytes]:
    """(name, raw public key) of a vkey text; raises Invalid."""
    parts = text.strip().split("+", 2)
    if len(parts) == 3 and _NAME.fullmatch(parts[0]):
        raw = _unbase64(parts[2])
        if raw[:1] == ED25519 and len(raw) == 33 and key_id(parts[0], raw[1:]).hex() == parts[1]:
            return parts[0], raw[1:]
    raise _invalid(
        "key_unreadable", "is no Ed25519 verifier key", "Write it as name+id+base64, as C2SP signed-note has it."
    )


def sign_note(text: str, signer: Signer) -> str:
    """Sign a text that ends with a newline. The public half of `signer` is checked on the result."""
    _check_text(text)
    if not _NAME.fullmatch(signer.key_name):
        raise _invalid(
            "key_name", f"{signer.key_name!r} is no key name", "Use no space, plus sign or control character."
        )
    blob = base64.b64encode(key_id(signer.key_name, signer.public_key) + signer.sign(text.encode())).decode()
    note = f"{text}\n\u2014 {signer.key_name} {blob}\n"
    open_note(note, signer.key_name, signer.public_key)
    return note


def open_note(note: str, key_name: str, public_key: bytes) -> str:
    """The text of a note that this key signed; raises Invalid. Signatures of other keys are passed over."""
    if len(note) > MAX_NOTE:
        raise _invalid("note_too_long", f"a note has at most {MAX_NOTE} characters")
    text, gap, lines = note.rpartition("\n\n")
    text += "\n"
    signatures = lines.removesuffix("\n").split("\n")
    if not gap or not lines.endswith("\n") or len(signatures) > MAX_SIGNATURES:
        raise _invalid("note_malformed", "is no signed note: text, an empty line, signature lines")
    _check_text(text)
    wanted, signed = key_id(key_name, public_key), False
    for line in signatures:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        blob = _unbase64(encoded)
        if dash != "\u2014" or not _NAME.fullmatch(name) or len(blob) < 5:
            raise _invalid("note_malformed", "has a line among its signatures that is none")
        if name == key_name and blob[:4] == wanted:
            if not _signed(public_key, blob[4:], text.encode()):
                raise _invalid("note_signature_wrong", f"the signature of {key_name} does not fit the text")
            signed = True
    if not signed:
        raise _invalid("note_unsigned", f"the key {key_name} with id {wanted.hex()} has not signed this")
    return text


def sign(checkpoint: Checkpoint, signer: Signer) -> str:
    """A checkpoint as a signed note."""
    if not checkpoint.origin or "\n" in checkpoint.origin or len(checkpoint.root) != 32 or checkpoint.size < 0:
        raise _invalid("checkpoint_malformed", "needs an origin of one line, a size and a root of 32 bytes")
    return sign_note(checkpoint.text, signer)


def verify_note(text: str, key_name: str, public_key: bytes) -> Checkpoint:
    """The checkpoint in a note that this key signed; raises Invalid. Extension lines are passed over."""
    lines = open_note(text, key_name, public_key).split("\n")[:-1]
    if len(lines) < 3 or not all(lines) or not _SIZE.fullmatch(lines[1]):
        raise _invalid("checkpoint_malformed", "is no checkpoint: origin, size, root")
    root = _unbase64(lines[2])
    if len(root) != 32:
        raise _invalid("checkpoint_malformed", "has a root that is not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def _check_text(text: str) -> None:
    strange = any(unicodedata.category(each) in ("Cc", "Cs") for each in text.replace("\n", ""))
    if not text.endswith("\n") or len(text) > MAX_NOTE or strange:
        raise _invalid("note_malformed", "a note's text ends with a newline and has no control characters")


def _signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unbase64(text: str) -> bytes:
    """The bytes, or nothing where the text is not canonical base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""


def _invalid(code: str, message: str, mend: str = "") -> Invalid:
    return Invalid(problems=[Problem(code=code, message=message, mend=mend)])
