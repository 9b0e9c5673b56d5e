"""A running estate for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.estate.server import Lab, spawn


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with spawn(tmp_path_factory.mktemp("estate")) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Lab]:
    """An estate of the test's own, where the story changes it for good."""
    with spawn(tmp_path / "lab") as running:
        yield running
