"""A door to knock on: a whole house with sources and persons, and no worker in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.door import Door, knock


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Shared by the tests of one session: what they store, they must not count on being alone with."""
    with knock(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def own_door(tmp_path: Path) -> Iterator[Door]:
    """A house of the test's own."""
    with knock(tmp_path) as opened:
        yield opened
