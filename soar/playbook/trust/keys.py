"""Public keys that playbooks are signed with, as texts name them, and the ring of those that we trust.

Trust goes by key alone. A certificate chain says which key signed and is checked for order, signatures
and dates, but no issuer makes an unknown key a known one. Nothing here reads files or the network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soar.errors import Invalid, Problem
from soar.strict_text import shown

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LONGEST_KEY = 16 * 1024
"""In characters; a key or certificate that is longer is none."""
LONGEST_CHAIN = 8
_HEADING = re.compile(r"^(Name|URL):[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: `der` is its SubjectPublicKeyInfo, `key` the value of the cryptography library."""

    der: bytes
    key: Any = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key and the names (values of `signee`) that it may sign as.

    `thumbprints` are base64url SHA-256 digests of the certificate and of the key, `urls` the addresses
    that signatures may name it by (`cert_url`). Nothing is ever fetched from these.
    """

    public: PublicKey
    names: frozenset[str]
    thumbprints: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that we trust."""

    keys: tuple[TrustedKey, ...] = ()

    def of(self, public: PublicKey) -> TrustedKey | None:
        """The entry of a key."""
        return next((each for each in self.keys if each.public == public), None)

    def by_thumbprint(self, thumbprint: str) -> PublicKey | None:
        """The key with this thumbprint (RFC 7517 section 4.9), or whose certificate has it."""
        return next((each.public for each in self.keys if thumbprint in each.thumbprints), None)

    def by_url(self, url: str) -> PublicKey | None:
        """The key that is kept for this address."""
        return next((each.public for each in self.keys if url in each.urls), None)


def keyring(files: Mapping[str, str]) -> Keyring:
    """The ring from PEM texts by file name. Raises Invalid with every file that is wrong.

    A text holds one PUBLIC KEY or CERTIFICATE. Before it stand lines `Name: NAME`, one for each name
    that it signs as, and `URL: ADDRESS` where signatures name it so (RFC 7468 section 2 allows text there).
    """
    problems: list[Problem] = []
    found: dict[PublicKey, str] = {}
    keys = []
    for name, text in sorted(files.items()):
        try:
            entry = _entry(text)
        except Invalid as error:
            problems += [Problem(code=each.code, message=f"{name}: {each.message}", mend=each.mend)
                         for each in error.problems]  # fmt: skip
            continue
        if entry.public in found:
            message = f"{name}: the same key stands in {found[entry.public]}"
            problems.append(Problem(code="duplicate_key", message=message, mend="Keep one file, with all names."))
        found[entry.public] = name
        keys.append(entry)
    if problems:
        raise Invalid(problems=problems)
    return Keyring(tuple(keys))


def _entry(text: str) -> TrustedKey:
    heading, marker, _ = text.partition("-----BEGIN ")
    said: dict[str, list[str]] = {"Name": [], "URL": []}
    for kind, value in _HEADING.findall(heading):
        said[kind].append(value)
    if not said["Name"]:
        mend = "Write a line 'Name: NAME' above -----BEGIN for each name that it signs as."
        raise Invalid(problems=[Problem(code="nameless_key", message="nobody is named whose key this is", mend=mend)])
    public, certificate = _of_pem(marker + text[len(heading) + len(marker) :])
    prints = {_thumbprint(public.der)} | ({_thumbprint(certificate)} if certificate else set())
    return TrustedKey(
        public=public, names=frozenset(said["Name"]), thumbprints=frozenset(prints), urls=frozenset(said["URL"])
    )


def _thumbprint(der: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


def _of_pem(pem: str) -> tuple[PublicKey, bytes]:
    """The key, and the certificate's DER (empty where it is a bare key)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    if pem.count("-----BEGIN ") != 1 or len(pem) > LONGEST_KEY:
        raise _unreadable("this is not one PEM block")
    try:
        if pem.startswith("-----BEGIN CERTIFICATE-----"):
            certificate = load_pem_x509_certificate(pem.encode("ascii"))
            return _public(certificate.public_key()), certificate.public_bytes(Encoding.DER)
        if not pem.startswith("-----BEGIN PUBLIC KEY-----"):
            raise _unreadable("this is neither a PUBLIC KEY nor a CERTIFICATE")
        return _public(load_pem_public_key(pem.encode("ascii"))), b""
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable("this PEM block cannot be read") from error


def _public(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return PublicKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)


def public_of(private: Any) -> PublicKey:
    """The public half of a private key of the cryptography library."""
    return _public(private.public_key())


def public_key_text(public: PublicKey) -> str:
    """The key as `public_key` of a signature has it: a PEM body on one line."""
    return base64.b64encode(public.der).decode("ascii")


def read_public_key(text: str) -> PublicKey:
    """A PEM body without header and footer; raises Invalid."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        return _public(load_der_public_key(_der(text)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable("public_key is no public key in PEM without header and footer") from error


def read_chain(chain: Sequence[str], now: datetime) -> PublicKey:
    """The key of the first certificate (RFC 7517 section 4.7). Raises Invalid with everything that is wrong.

    Each certificate must be signed by the next, and all of them must be in force at `now`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import load_der_x509_certificate

    if not 1 <= len(chain) <= LONGEST_CHAIN:
        raise _unreadable(f"a certificate chain has 1 to {LONGEST_CHAIN} certificates")
    try:
        certificates = [load_der_x509_certificate(_der(text)) for text in chain]
        public = _public(certificates[0].public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable("public_cert_chain holds something that is no certificate in DER and base64") from error
    problems = [
        Problem(code="certificate_not_in_force", message=f"certificate {number} of the chain is not in force now")
        for number, each in enumerate(certificates)
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc
    ]
    for number, (lower, upper) in enumerate(itertools.pairwise(certificates)):
        if not _issued_by(lower, upper):
            message = f"certificate {number} of the chain is not signed by the one after it"
            problems.append(Problem(code="chain_broken", message=message))
    if problems:
        raise Invalid(problems=problems)
    return public


def _issued_by(lower: Certificate, upper: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _der(text: str) -> bytes:
    if len(text) > LONGEST_KEY:
        raise _unreadable("this is too long for a key")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(f"{shown(text)} is not base64") from None


def _unreadable(message: str) -> Invalid:
    return Invalid(problems=[Problem(code="key_unreadable", message=message)])
