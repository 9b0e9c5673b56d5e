"""Ids: UUIDv7, so that rows sort by the time they were made."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7 as text (RFC 9562, section 5.7)."""
    return str(uuid_utils.uuid7())
