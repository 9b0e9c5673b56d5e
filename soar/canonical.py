"""Canonical JSON (RFC 8785): the bytes that digests and events are made of.

Most of what is hashed is plain: texts, whole numbers, flags, ASCII names. For that the standard
library's encoder in C writes the same bytes several times faster; everything else (fractions, names
beyond ASCII, what must be refused) goes to the library that knows the whole of the standard.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_LARGEST = 2**53 - 1
_DEEPEST = 64

Refused = rfc8785.CanonicalizationError
"""What has no canonical form: a number out of range, a lone surrogate, a thing that is not JSON."""


def dumps(value: Any) -> bytes:
    """The canonical bytes of a JSON value. Raises Refused for what has none."""
    if _plain(value, 0):
        try:
            return _ENCODE(value).encode()
        except UnicodeEncodeError:
            pass  # a lone surrogate: the library says so in its own way
    return rfc8785.dumps(value)


def _plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if depth >= _DEEPEST:
        return False
    if kind is dict:
        return all(type(name) is str and name.isascii() and _plain(each, depth + 1) for name, each in value.items())
    return (kind is list or kind is tuple) and all(_plain(each, depth + 1) for each in value)
