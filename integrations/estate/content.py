"""The bytes that the estate's files and processes are made of.

Nothing here is malware: what plays that part holds a harmless marker that a YARA rule can find.
Contents are made from a seed whenever they are read, so the state file stays small and two reads
of one thing give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

MARKER = b"SOAR-LAB-MALWARE-7f3a91"


def content_of(thing: Mapping[str, Any]) -> bytes:
    """The bytes of a file or of a process's memory: kept as `base64`, or made from `seed` and `size`."""
    if "base64" in thing:
        return base64.b64decode(thing["base64"])
    body = hashlib.shake_256(str(thing["seed"]).encode()).digest(int(thing["size"]))
    if not thing.get("marked"):
        return body
    half = len(body) // 2
    return body[:half] + b"\x00" * 16 + MARKER + b"\x00" * 16 + body[half:]


def sha256_of(thing: Mapping[str, Any]) -> str:
    """SHA-256 of the thing's bytes, hex."""
    return hashlib.sha256(content_of(thing)).hexdigest()


def is_malware(thing: Mapping[str, Any]) -> bool:
    """Whether the marker stands in the thing's bytes: what a scanner on the host would find."""
    return MARKER in content_of(thing)
