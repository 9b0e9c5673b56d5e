"""Signatures of playbooks: the CACAO 2.0 data type `signature` (objects of type jss), made and checked.

What is signed: the playbook without its other signatures, with this one but without its `value`, as
canonical JSON (RFC 8785); of that the digest by `hash_algorithm`, **as hexadecimal text**; that text
is what `algorithm` signs. This is what the worked example of the standard does: its RS256 value fits
the 64 characters and neither the digest's bytes nor the canonical text.

A countersignature stands in `signature` of the one that it confirms. It covers that one whole, `value`
included; the standard gives no worked example of it, so this reading is ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from soar import canonical
from soar.errors import Invalid, Problem
from soar.playbook.trust import algorithms, keys
from soar.playbook.trust.keys import Keyring, PublicKey
from soar.strict_text import shown

MOST_SIGNATURES = 8
"""How many a playbook may carry, and MOST_COUNTERSIGNED how deep they may stand in one another."""
MOST_COUNTERSIGNED = 2
KEY_PROPERTIES = ("public_key", "public_cert_chain", "cert_url", "thumbprint")
"""Exactly one of these says whose signature it is."""
_TEXTS = (
    "id",
    "created",
    "modified",
    "signee",
    "related_to",
    "related_version",
    "hash_algorithm",
    "algorithm",
    "value",
)
_TIMES = ("created", "modified", "valid_from", "valid_until")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_ID = re.compile(r"jss--[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found of one signature. It is good where there is no problem; `key` is then whose it is.

    That says nothing of trust yet: anybody can sign with a key of their own.
    """

    place: str
    id: str = ""
    signee: str = ""
    algorithm: str = ""
    modified: str = ""
    key: PublicKey | None = None
    problems: tuple[Problem, ...] = ()
    countersigned: Checked | None = None

    @property
    def good(self) -> bool:
        return not self.problems


def instant(text: Any) -> datetime | None:
    """A CACAO timestamp (RFC 3339 in UTC, with Z); None for what is none."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def signed_text(document: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], hash_algorithm: str) -> bytes:
    """The ASCII text that the last of `signatures` signs; those before it are what it countersigns, outermost first.

    Raises Invalid for a hash that is not taken, and for what has no canonical form.
    """
    if hash_algorithm not in algorithms.HASHES:
        message = f"{shown(hash_algorithm)} is no hash that is taken here"
        mend = f"Take one of {', '.join(algorithms.HASHES)}."
        raise Invalid(problems=[Problem(code="unknown_hash", message=message, mend=mend)])
    *confirmed, own = signatures
    inner: dict[str, Any] = {name: each for name, each in own.items() if name not in ("value", "signature")}
    for outer in reversed(confirmed):
        inner = {**outer, "signature": inner}
    try:
        text = canonical.dumps({**document, "signatures": [inner]})
    except canonical.Refused as error:
        problem = Problem(code="not_canonical", message=f"the playbook has no canonical JSON form: {error}")
        raise Invalid(problems=[problem]) from None
    return hashlib.new(algorithms.HASHES[hash_algorithm], text).hexdigest().encode("ascii")


# --- check --------------------------------------------------------------------------------------


def check(document: Mapping[str, Any], now: datetime, ring: Keyring) -> tuple[Checked, ...]:
    """Every signature of a CACAO document, with all that is wrong about each. The ring resolves thumbprints and URLs.

    Nothing is fetched and nothing is raised, whatever the document holds.
    """
    given = document.get("signatures", [])
    if not isinstance(given, list | tuple):
        return (_bad("/signatures", "wrong_type", "signatures must be a list"),)
    if len(given) > MOST_SIGNATURES:
        return (_bad("/signatures", "too_large", f"a playbook has at most {MOST_SIGNATURES} signatures"),)
    return tuple(_checked(document, [], each, f"/signatures/{at}", now, ring) for at, each in enumerate(given))


def _bad(place: str, code: str, message: str) -> Checked:
    return Checked(place=place, problems=(Problem(code=code, message=message, pointer=place),))


def _checked(
    document: Mapping[str, Any], confirmed: list[Mapping[str, Any]], own: Any, place: str, now: datetime, ring: Keyring
) -> Checked:
    if not isinstance(own, Mapping):
        return _bad(place, "wrong_type", "a signature must be an object")
    if len(confirmed) > MOST_COUNTERSIGNED:
        return _bad(place, "too_large", f"countersignatures stand deeper than {MOST_COUNTERSIGNED}")
    problems = _form(own, place)
    key: PublicKey | None = None
    if not problems:
        problems += _binding(document, own, place) + _standing(own, place, now)
        try:
            key = _key(own, now, ring)
            _verify(document, [*confirmed, own], key)
        except Invalid as error:
            problems += [
                Problem(code=each.code, message=each.message, pointer=place, mend=each.mend) for each in error.problems
            ]
    inner = None
    if "signature" in own:
        inner = _checked(document, [*confirmed, own], own["signature"], f"{place}/signature", now, ring)
    said = {name: own[name] for name in ("id", "signee", "algorithm", "modified") if isinstance(own.get(name), str)}
    return Checked(place=place, **said, key=key, problems=tuple(problems), countersigned=inner)


def _form(own: Mapping[str, Any], place: str) -> list[Problem]:
    """The signature object itself: what must be there, of which type, and that times are in order."""
    found: list[tuple[str, str]] = []
    if own.get("type") != "jss":
        found.append(("wrong_type", "the type of a signature is jss"))
    for name in _TEXTS:
        if name not in own:
            found.append(("missing_property", f"{name} is missing"))
        elif not isinstance(own[name], str):
            found.append(("wrong_type", f"{name} must be text"))
    if isinstance(own.get("id"), str) and not _ID.fullmatch(own["id"]):
        found.append(("bad_id", "the id of a signature is jss-- and a UUID"))
    if not isinstance(own.get("revoked", False), bool):
        found.append(("wrong_type", "revoked must be true or false"))
    times = {name: instant(own[name]) for name in _TIMES if name in own}
    found += [("bad_timestamp", f"{name} is no timestamp in UTC") for name, time in times.items() if time is None]
    for first, last in (("created", "modified"), ("valid_from", "valid_until")):
        early, late = times.get(first), times.get(last)
        if early and late and (late < early or (late == early and first == "valid_from")):
            found.append(("bad_timestamp", f"{last} is before {first}"))
    named = [name for name in KEY_PROPERTIES if name in own]
    if len(named) != 1:
        said = ", ".join(named) or "none"
        found.append(("key_count", f"exactly one of {', '.join(KEY_PROPERTIES)} says whose key it is; here: {said}"))
    found += [("wrong_type", f"{name} has the wrong type") for name in named if not _is_key(name, own[name])]
    return [Problem(code=code, message=message, pointer=place) for code, message in found]


def _is_key(name: str, value: Any) -> bool:
    if name == "public_cert_chain":
        return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return isinstance(value, str)


def _binding(document: Mapping[str, Any], own: Mapping[str, Any], place: str) -> list[Problem]:
    """A signature is of one version of one playbook."""
    found = []
    for name, of, what in (("related_to", "id", "playbook"), ("related_version", "modified", "version")):
        if own[name] != document.get(of):
            message = f"{name} is {shown(own[name])}: this is a signature of another {what}"
            found.append(Problem(code=f"wrong_{what}", message=message, pointer=f"{place}/{name}"))
    return found


def _standing(own: Mapping[str, Any], place: str, now: datetime) -> list[Problem]:
    """In force now; the times of a revoked signature do not matter."""
    if own.get("revoked", False):
        return [Problem(code="signature_revoked", message="the signature is revoked", pointer=f"{place}/revoked")]
    found = []
    begins, ends = instant(own.get("valid_from")), instant(own.get("valid_until"))
    if begins and now < begins:
        message = f"the signature is valid from {own['valid_from']} on"
        found.append(Problem(code="signature_not_yet_valid", message=message, pointer=f"{place}/valid_from"))
    if ends and now >= ends:
        message = f"the signature was valid until {own['valid_until']}"
        found.append(Problem(code="signature_expired", message=message, pointer=f"{place}/valid_until"))
    return found


def _key(own: Mapping[str, Any], now: datetime, ring: Keyring) -> PublicKey:
    """The key that the signature names. Raises Invalid where there is none to be had."""
    (named,) = (name for name in KEY_PROPERTIES if name in own)
    if named == "public_key":
        return keys.read_public_key(own[named])
    if named == "public_cert_chain":
        return keys.read_chain(own[named], now)
    found = ring.by_thumbprint(own[named]) if named == "thumbprint" else ring.by_url(own[named])
    if found is None:
        message = f"no trusted key is kept under the {named} {shown(own[named])}"
        mend = "Nothing is fetched: put the key or certificate into the folder of trusted keys."
        if named == "cert_url":
            mend += " with a line 'URL: ADDRESS' above it."
        raise Invalid(problems=[Problem(code="key_unknown", message=message, mend=mend)])
    return found


def _verify(document: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], key: PublicKey) -> None:
    own = signatures[-1]
    algorithms.check_key(own["algorithm"], key.key)
    text = signed_text(document, signatures, own["hash_algorithm"])
    if not algorithms.verify(own["algorithm"], key.key, text, _decoded(own["value"])):
        message = "the signature does not fit: the playbook or the signature was changed, or the key is another"
        raise Invalid(problems=[Problem(code="signature_wrong", message=message)])


def _decoded(value: str) -> bytes:
    """base64url without padding, written in the only way there is: a signature has one spelling."""
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw or _encoded(raw) != value:
        raise Invalid(problems=[Problem(code="bad_encoding", message="value is not base64url without padding")])
    return raw


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


# --- sign ---------------------------------------------------------------------------------------


def sign(
    document: Mapping[str, Any], private: Any, *, signature_id: str, signee: str, now: datetime, algorithm: str = "",
    hash_algorithm: str = "sha-256", valid_until: str = "", created_by: str = "", confirms: str = "",
) -> dict[str, Any]:  # fmt: skip
    """The document with one signature more; the others stay as they are.

    `private` is a key of the cryptography library; without `algorithm` the usual one of the key is
    taken. `confirms` is the id of a signature to countersign instead of adding one beside it. Raises
    Invalid for a document that cannot be signed, a key that does not go with the algorithm, or an
    unknown or already countersigned signature.
    """
    missing = [name for name in ("id", "modified") if not isinstance(document.get(name), str)]
    if document.get("type") != "playbook" or missing:
        message = "only a CACAO playbook with id and modified can be signed"
        raise Invalid(problems=[Problem(code="not_cacao", message=message)])
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    chosen = algorithm or algorithms.algorithm_of(private)
    own = {
        "type": "jss", "id": signature_id, "created": stamp, "modified": stamp, "signee": signee,
        "related_to": document["id"], "related_version": document["modified"], "hash_algorithm": hash_algorithm,
        "algorithm": chosen, "public_key": keys.public_key_text(keys.public_of(private)),
    }  # fmt: skip
    own |= {name: said for name, said in (("valid_until", valid_until), ("created_by", created_by)) if said}
    if problems := _form({**own, "value": ""}, "/signatures"):
        raise Invalid(problems=problems)
    before = document.get("signatures", [])
    if not isinstance(before, list | tuple) or not all(isinstance(each, Mapping) for each in before):
        message = "signatures must be a list of objects"
        raise Invalid(problems=[Problem(code="wrong_type", message=message, pointer="/signatures")])
    if len(before) >= MOST_SIGNATURES:
        message = f"a playbook has at most {MOST_SIGNATURES} signatures"
        raise Invalid(problems=[Problem(code="too_large", message=message, pointer="/signatures")])
    confirmed = [_to_confirm(before, confirms)] if confirms else []
    text = signed_text(document, [*confirmed, own], hash_algorithm)
    own["value"] = _encoded(algorithms.sign(chosen, private, text))
    if confirms:
        after = [{**each, "signature": own} if each.get("id") == confirms else each for each in before]
    else:
        after = [*before, own]
    return {**document, "signatures": after}


def _to_confirm(signatures: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any]:
    found = [each for each in signatures if each.get("id") == wanted]
    if len(found) != 1 or "signature" in found[0]:
        message = f"there is not one signature {shown(wanted)} that nobody has countersigned"
        raise Invalid(problems=[Problem(code="not_found", message=message)])
    return found[0]
