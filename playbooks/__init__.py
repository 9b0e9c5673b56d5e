"""Playbooks that ship with the product."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).parent / "library"


def shipped() -> list[Path]:
    """The files of the library, by name."""
    return sorted(LIBRARY.glob("*.yaml"))
