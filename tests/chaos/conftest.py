"""What the stories of chaos stand on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import real_part
from tests.crash.target import Target
from tests.servers import Postgres, Redis, postgres, redis


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seed", type=int, default=None, help="play the chaos of this seed again")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed, or the one that was asked for."""
    given = request.config.getoption("--chaos-seed", default=None)
    return secrets.randbelow(2**32) if given is None else int(given)


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """What is acted upon. Nobody kills it."""
    running = Target(tmp_path_factory.mktemp("target") / "target.sock")
    yield running
    running.stop()


@pytest.fixture
def mortal_postgres() -> Iterator[Postgres]:
    """A PostgreSQL to be killed: what it has committed is on the disk."""
    with real_part(), postgres(settings={"fsync": "on"}) as running:
        yield running


@pytest.fixture
def mortal_redis() -> Iterator[Redis]:
    """A Redis to be killed: it keeps nothing."""
    with real_part(), redis() as running:
        yield running


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder for one house."""
    folder = tmp_path / "house"
    folder.mkdir()
    return folder
