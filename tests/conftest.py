"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_REAL = os.environ.get("SOAR_REQUIRE_REAL") == "1"


def missing_real_part(what: str) -> None:
    """A real part that a test needs is absent: a failure where it is required, else said aloud."""
    if REQUIRE_REAL:
        pytest.fail(f"{what} is missing, and SOAR_REQUIRE_REAL=1 asks for it", pytrace=False)
    pytest.skip(f"NOT COVERED HERE: {what} is missing")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real third-party samples (alerts, vectors, playbooks)."""
    folder = Path(os.environ.get("SOAR_SAMPLES", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing_real_part(f"the samples folder (set SOAR_SAMPLES, now {folder})")
    return folder
