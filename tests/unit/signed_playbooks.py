"""Keys, certificates and signed playbooks for tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from soar.playbook.trust import algorithms, keys, signing

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "type": "playbook",
    "spec_version": "cacao-2.0",
    "id": "playbook--a0777575-5c4c-4710-9f01-15776103837f",
    "name": "Isolate, then look: Überprüfung",
    "created": "2026-11-01T09:00:00.000Z",
    "modified": "2026-11-02T09:00:00.000Z",
    "priority": 3,
    "playbook_extensions": {"extension-definition--418ee24c-9cb1-46d9-afa5-309e01aabc7f": {"x": [1.5, True, None, ""]}},
}
KINDS = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "Ed25519": "ed25519",
}  # fmt: skip


@cache
def private(kind: str, number: int = 0) -> Any:
    """A private key of a kind; the same one for the same number."""
    curves: dict[str, Any] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    """The public half in PEM."""
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def ring(**named: Any) -> keys.Keyring:
    """A ring of keys by the name that each signs as."""
    return keys.keyring({f"{name}.pem": f"Name: {name}\n{pem(key)}" for name, key in named.items()})


def signed(document: Any = None, key: Any = None, by: str = "ana", number: int = 1, **more: Any) -> dict[str, Any]:
    """The document with a signature more."""
    given = {"now": NOW, **more}
    return signing.sign(
        document or DOCUMENT, key or private("ed25519"), signee=by,
        signature_id=f"jss--00000000-0000-4000-8000-{number:012d}", **given,
    )  # fmt: skip


def resigned(document: dict[str, Any], key: Any, **changes: Any) -> dict[str, Any]:
    """The only signature with other properties, signed anew by its key: what its owner could have written."""
    (own,) = document["signatures"]
    own = {name: value for name, value in {**own, **changes}.items() if value is not None}
    text = signing.signed_text(document, [own], own["hash_algorithm"])
    raw = algorithms.sign(own["algorithm"], key, text)
    value = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {**document, "signatures": [{**own, "value": value}]}


def certificate(subject: str, key: Any, issuer: str, by: Any, days: int = 30) -> x509.Certificate:
    """A certificate, in force for so many days from yesterday on."""
    name = {each: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)}
    start = NOW - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name[subject])
        .issuer_name(name[issuer])
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(by, None if isinstance(by, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )


def x5c(*chain: x509.Certificate) -> list[str]:
    """A chain as `public_cert_chain` has it."""
    return [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain]
