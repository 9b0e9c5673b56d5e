"""Real servers, once for the session, and a fresh fleet for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integrations.estate.server import Lab, spawn
from tests.scale.fleet import Fleet, Town
from tests.servers import Postgres, Redis, postgres, redis

BROKER_PASSWORD = "a-password-that-nobody-may-see"


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def broker() -> Iterator[Redis]:
    with redis(options=["--user", "soar", "on", f">{BROKER_PASSWORD}", "~*", "&*", "+@all"]) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    running = spawn(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()


@contextmanager
def opened(folder: Path, database: Postgres, broker: Redis) -> Iterator[Fleet]:
    """A fleet with a fresh database; its members are ended behind it."""
    name = f"fleet_{secrets.token_hex(4)}"
    url = broker.url().replace("redis://", f"redis://soar:{BROKER_PASSWORD}@")
    made = Fleet(folder, database.create(name), url)
    try:
        yield made
    finally:
        made.end()
        if database.alive:
            database.drop(name)


@pytest.fixture
def fleet(tmp_path: Path, database: Postgres, broker: Redis) -> Iterator[Fleet]:
    with opened(tmp_path, database, broker) as made:
        yield made


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, database: Postgres, broker: Redis, lab: Lab) -> Iterator[Town]:
    """A service, a node of two hands, the lab, and the test's own engine beside them."""
    with opened(tmp_path_factory.mktemp("town"), database, broker) as fleet:
        fleet.lab = lab
        serve = fleet.serve()
        serve.ready()
        worker = fleet.worker()
        worker.ready()
        engine = fleet.engine()
        yield Town(fleet, serve, worker, engine)
        engine.close()
