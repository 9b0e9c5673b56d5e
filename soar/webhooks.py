"""Who is allowed to post: signatures and bearer tokens of webhooks, checked on raw bytes before anything is parsed.

The signing scheme is Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, in the headers
webhook-id, webhook-timestamp and webhook-signature. Header names are expected in lower case, as in
`soar.ports.Delivery`. Remembering the ids, so that a replay inside the window changes nothing, is
the work of `soar/intake.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from soar.errors import Invalid, Problem, Unauthenticated

TOLERANCE = 300.0
"""How far, in seconds, a signed time may lie from ours, to either side (Standard Webhooks)."""

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_SIGNATURES = 16
# A full stop separates the signed parts, so an id that holds one could be read in two ways.
_SIGNED_ID = re.compile(r"[!-\-/-~]{1,255}")
_ID = re.compile(r"[!-~]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def secret_bytes(text: str) -> bytes:
    """The key in a secret written `whsec_<base64>`; raises Invalid. The key has 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        # The problem never quotes the text: it is a secret, even when it is badly written.
        mend = "Write whsec_ and the base64 of 24 to 64 random bytes."
        raise Invalid(problems=[Problem(code="bad_secret", message="this is no webhook secret", mend=mend)])
    return key


def verify_signature(
    secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime, tolerance: float = TOLERANCE
) -> str:
    """Check a signed delivery against each active secret; returns its webhook id.

    Two secrets are active while one replaces the other. Raises Unauthenticated with the reason.
    """
    if not secrets:
        raise Unauthenticated("no secret is configured for this source")
    message_id, timestamp, signature = (
        _needed(headers, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    if not _SIGNED_ID.fullmatch(message_id):
        raise Unauthenticated("webhook-id must be 1 to 255 visible ASCII characters without a full stop")
    if not _SECONDS.fullmatch(timestamp):
        raise Unauthenticated("webhook-timestamp must be whole seconds since 1970")
    age = now.timestamp() - int(timestamp)
    if age > tolerance:
        raise Unauthenticated(f"the message is too old: signed {age:.0f} s ago, {tolerance:.0f} s are allowed")
    if age < -tolerance:
        raise Unauthenticated(f"the message is too new: signed {-age:.0f} s ahead, {tolerance:.0f} s are allowed")
    given = _signatures(signature)
    fits = False
    for secret in secrets:
        expected = _mac(secret, message_id, timestamp, body)
        for each in given:
            fits |= hmac.compare_digest(expected, each)
    if not fits:
        raise Unauthenticated("no signature in webhook-signature fits the body and an active secret")
    return message_id


def verify_bearer(tokens: Sequence[str], headers: Mapping[str, str]) -> None:
    """Check `authorization: Bearer <token>` against the tokens of a source that cannot sign.

    Digests are compared, so that neither the place of a difference nor a length shows in the time
    taken. Raises Unauthenticated.
    """
    scheme, _, given = _needed(headers, "authorization").partition(" ")
    given = given.strip()
    if scheme.lower() != "bearer" or not given:
        raise Unauthenticated("the authorization header must be: Bearer <token>")
    digest = _digest(given)
    fits = False
    for token in tokens:
        fits |= hmac.compare_digest(digest, _digest(token))
    if not fits:
        raise Unauthenticated("the bearer token is not valid for this source")


def sign(secret: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers that sign a body (Standard Webhooks); what a forwarder sends."""
    if not _SIGNED_ID.fullmatch(message_id):
        mend = "Use 1 to 255 visible ASCII characters without a full stop."
        raise Invalid(problems=[Problem(code="bad_webhook_id", message="the message id cannot be signed", mend=mend)])
    timestamp = str(int(at.timestamp()))
    mac = base64.b64encode(_mac(secret, message_id, timestamp, body)).decode("ascii")
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{mac}"}


def delivery_id(headers: Mapping[str, str], body: bytes) -> str:
    """What tells one delivery of an unsigned source from another: its own id, or the body's digest.

    Looks at webhook-id, idempotency-key and x-request-id, in this order. A value that is not 1 to
    255 visible ASCII characters is no id.
    """
    for name in ("webhook-id", "idempotency-key", "x-request-id"):
        value = headers.get(name, "").strip()
        if _ID.fullmatch(value):
            return value
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise Unauthenticated(f"the header {name} is missing")
    return value


def _signatures(header: str) -> list[bytes]:
    """The decoded `v1` signatures of a header; other versions and unreadable ones cannot fit and are dropped."""
    found = []
    for entry in header.split(" ")[:_SIGNATURES]:
        version, _, text = entry.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except ValueError:
                continue
    return found


def _mac(secret: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(secret, f"{message_id}.{timestamp}.".encode("ascii") + body, "sha256")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
