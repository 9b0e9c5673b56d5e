"""The stage of the stories: a lab in its own process, and a house that is really built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.wiring import House
from integrations.estate.server import Lab, spawn
from soar.config import GuardSettings, ProtectionSettings, Settings
from tests.stage import Cast, Estate, living


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A fresh estate in a process of its own."""
    running = spawn(tmp_path / "lab")
    yield running
    running.stop()


@pytest.fixture
def settings(tmp_path: Path, lab: Lab, database_url: str) -> Settings:
    """What a small SOC would configure: one estate, protected things named. Once on each database."""
    return Settings(
        data=tmp_path / "data",
        database_url=database_url,
        claim_seconds=1,
        adapters={"lab": {"kind": "lab", "url": lab.url, "timeout": 1}},
        guards=GuardSettings(
            hard=ProtectionSettings(names=("soar*",)),
            soft=ProtectionSettings(tags=("protected",)),
            evidence_box=0.1,
            same_day_issuer="bootstrap",
        ),
    )


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    """The house with its workers running."""
    with living(settings) as built:
        yield built


@pytest.fixture
def estate(lab: Lab) -> Estate:
    return Estate(lab)


@pytest.fixture
def cast(house: House) -> Cast:
    return Cast(house)
