"""Signature algorithms of CACAO 2.0 (signature-algorithm-type-ov) over JWA (RFC 7518) and RFC 8037.

RS, ES and PS with 256, 384 and 512, and Ed25519. What is signed is always the text of a digest, see
`soar.playbook.trust.signing`. The rest of the vocabulary is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soar.errors import Invalid, Problem
from soar.strict_text import shown

LEAST_RSA_BITS = 2048
"""RFC 7518 sections 3.3 and 3.5."""
HASHES: Mapping[str, str] = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""`hash_algorithm` by its IANA name, and what Python calls it."""
_CURVES: Mapping[str, str] = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = frozenset({*_RSA, *_CURVES, "Ed25519"})
"""What signatures are made and verified with."""
REFUSED: Mapping[str, str] = {
    "Ed448": "is not offered here",
    **dict.fromkeys(("HS256", "HS384", "HS512"), "is symmetric: whoever verifies could have signed"),
    **dict.fromkeys(
        ("XMSS-SHA2_10_256", "XMSS-SHA2_16_256", "XMSS-SHA2_20_256"), "(XMSS, RFC 8391) is not offered here"
    ),
    **dict.fromkeys(
        (f"LMS_SHA256_M32_H{height}" for height in (5, 10, 15, 20, 25)), "(LMS, RFC 8554) is not offered here"
    ),
}
"""Algorithms that are known and not taken, and why."""


def check_algorithm(algorithm: str) -> None:
    """Raises Invalid for an algorithm that is not taken; the message names it."""
    if algorithm in ALGORITHMS:
        return
    mend = f"Sign with one of {', '.join(sorted(ALGORITHMS))}."
    if algorithm in REFUSED:
        message = f"{algorithm} {REFUSED[algorithm]}"
        raise Invalid(problems=[Problem(code="refused_algorithm", message=message, mend=mend)])
    message = f"{shown(algorithm)} is no algorithm for signatures"
    raise Invalid(problems=[Problem(code="unknown_algorithm", message=message, mend=mend)])


def algorithm_of(key: Any) -> str:
    """The usual algorithm of a key, public or private; raises Invalid for a kind of key that none takes."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "Ed25519"
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        for algorithm, curve in _CURVES.items():
            if key.curve.name == curve:
                return algorithm
    mend = "Take an RSA key, an Ed25519 key, or one on P-256, P-384 or P-521."
    raise Invalid(problems=[Problem(code="wrong_key", message="no algorithm takes this kind of key", mend=mend)])


def check_key(algorithm: str, key: Any) -> None:
    """Raises Invalid unless the algorithm takes this key, public or private."""
    check_algorithm(algorithm)
    takes = algorithm_of(key)
    if (takes == "RS256" and algorithm in _RSA) or takes == algorithm:
        if takes == "RS256" and key.key_size < LEAST_RSA_BITS:
            message = f"an RSA key of {key.key_size} bits is too weak; {LEAST_RSA_BITS} are the least"
            raise Invalid(problems=[Problem(code="weak_key", message=message)])
        return
    raise Invalid(problems=[Problem(code="wrong_key", message=f"{algorithm} does not go with this kind of key")])


def sign(algorithm: str, private: Any, message: bytes) -> bytes:
    """The signature, in the form of RFC 7518 (ECDSA: R and S of fixed length). Raises Invalid for a wrong key."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    check_key(algorithm, private)
    if algorithm == "Ed25519":
        return bytes(private.sign(message))
    if algorithm in _CURVES:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(_digest(algorithm))))
        length = _coordinate(private)
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    return bytes(private.sign(message, _padding(algorithm), _digest(algorithm)))


def verify(algorithm: str, public: Any, message: bytes, signature: bytes) -> bool:
    """Whether the signature is of this message by this key. Raises Invalid for a key that does not go with it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    check_key(algorithm, public)
    try:
        if algorithm == "Ed25519":
            public.verify(signature, message)
        elif algorithm in _CURVES:
            length = _coordinate(public)
            if len(signature) != 2 * length:
                return False
            r, s = (int.from_bytes(half, "big") for half in (signature[:length], signature[length:]))
            public.verify(encode_dss_signature(r, s), message, ec.ECDSA(_digest(algorithm)))
        else:
            public.verify(signature, message, _padding(algorithm), _digest(algorithm))
    except InvalidSignature:
        return False
    return True


def _coordinate(key: Any) -> int:
    """Octets of R and of S (RFC 7518 section 3.4)."""
    return int((key.curve.key_size + 7) // 8)


def _digest(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    by_size: Mapping[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
    return by_size[algorithm[2:]]()


def _padding(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding

    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    digest = _digest(algorithm)
    return padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
