"""Evidence and packages on the wire."""

from __future__ import annotations

from typing import Any

from api.views.base import In, Line, Out, Time, Words


class ItemLine(Out):
    """An item of evidence. `name` and `path` came from the target and are words, not file names."""

    id: str
    incident_id: str
    action_id: str | None
    exhibit: str
    name: str
    evidence_class: str
    source: str
    path: str
    method: str
    tool: str
    sha256: str
    sha512: str
    size: int
    source_sha256: str
    acquired_at: Time
    stored_at: Time


class ItemView(ItemLine):
    """An item with its chain of custody (fields of ISO/IEC 27037)."""

    custody: list[dict[str, Any]]


class Order(In):
    """For whom a package is built, and what for."""

    recipient: Line
    purpose: Words


class PackageView(Out):
    """A built package. `path` is where it lies on the server."""

    id: str
    incident_id: str
    status: str
    path: str
    sha256: str
    size: int
    created_at: Time
