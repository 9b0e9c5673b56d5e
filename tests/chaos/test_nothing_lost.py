"""Runs are started, processes and servers are killed: nothing is lost, nothing is doubled, on each set-up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.house import House
from tests.chaos.story import Cast, play
from tests.crash.target import Target
from tests.servers import Postgres, Redis


def test_a_fleet_loses_and_doubles_nothing_while_nodes_redis_and_postgres_die(
    target: Target, room: Path, mortal_postgres: Postgres, mortal_redis: Redis, seed: int
) -> None:
    house = House(room, target, mortal_postgres.create("chaos"), mortal_redis.url())
    play(house, Cast(runs=200, seconds=20, services=2, workers=2, pause=0.7, seed=seed), mortal_postgres, mortal_redis)


def test_services_on_one_postgres_lose_and_double_nothing_while_they_and_it_die(
    target: Target, room: Path, mortal_postgres: Postgres, seed: int
) -> None:
    house = House(room, target, mortal_postgres.create("chaos"))
    play(house, Cast(runs=200, seconds=12, services=2, workers=0, pause=1.5, seed=seed), mortal_postgres, None)


def test_a_service_on_sqlite_alone_loses_and_doubles_nothing_while_it_dies(
    target: Target, room: Path, seed: int
) -> None:
    play(House(room, target), Cast(runs=200, seconds=10, services=1, workers=0, pause=3.0, seed=seed), None, None)


@pytest.mark.long
def test_a_fleet_loses_and_doubles_nothing_of_two_thousand_runs(
    target: Target, room: Path, mortal_postgres: Postgres, mortal_redis: Redis, seed: int
) -> None:
    house = House(room, target, mortal_postgres.create("chaos"), mortal_redis.url())
    cast = Cast(runs=2000, seconds=240, services=2, workers=2, pause=0.7, seed=seed)
    play(house, cast, mortal_postgres, mortal_redis)


@pytest.mark.long
def test_services_on_one_postgres_lose_and_double_nothing_of_two_thousand_runs(
    target: Target, room: Path, mortal_postgres: Postgres, seed: int
) -> None:
    house = House(room, target, mortal_postgres.create("chaos"))
    play(house, Cast(runs=2000, seconds=200, services=2, workers=0, pause=1.5, seed=seed), mortal_postgres, None)


@pytest.mark.long
def test_a_service_on_sqlite_alone_loses_and_doubles_nothing_of_two_thousand_runs(
    target: Target, room: Path, seed: int
) -> None:
    play(House(room, target), Cast(runs=2000, seconds=150, services=1, workers=0, pause=3.0, seed=seed), None, None)
