"""Playbooks that ship with the product."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).parent / "library"
REHEARSALS = Path(__file__).parent / "rehearsals"


def shipped() -> list[Path]:
    """The files of the library, by name."""
    return sorted(LIBRARY.glob("*.yaml"))


def rehearsals() -> list[Path]:
    """The rehearsals of the library, each under the name of its playbook."""
    return sorted(REHEARSALS.glob("*.yaml"))
