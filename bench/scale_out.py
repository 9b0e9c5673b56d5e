"""The item about more machines, on one: 1, 2 and 4 processes over one PostgreSQL, as nodes and as workers.

Runs are prepared, the processes start, and the rate is that of the middle of the round, by the times
at which the actions ended in the database: starting and ending processes does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from bench.contest import Field, child, hold
from bench.figure import Figure, NotMeasured, tell
from bench.house import STATE_VERB, STEPS, begin, open_house
from bench.result import Result, beside
from bench.served import config, running
from soar.store.tables import actions

SIZES = (1, 2, 4)
_PATIENCE = 60.0
_RATE = 300
"""Steps a second for each process that a round is made for; slower ones are cut off, faster ones end early."""


def _ended(url: str) -> list[datetime]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as conn:
            query = sa.select(actions.c.ended_at).where(actions.c.ended_at.is_not(None)).order_by(actions.c.ended_at)
            return list(conn.execute(query).scalars())
    finally:
        engine.dispose()


def _watch(url: str, steps: int, seconds: float) -> float:
    """Steps per second in the middle of the round, which ends when all is done or some seconds after the first step."""
    gives_up, ends = time.monotonic() + _PATIENCE, 0.0
    while True:
        times = _ended(url)
        if times and not ends:
            ends = time.monotonic() + seconds
        if len(times) >= steps or (ends and time.monotonic() > ends):
            break
        if not times and time.monotonic() > gives_up:
            raise NotMeasured(f"no step ended within {_PATIENCE:.0f} s")
        time.sleep(0.25)
    first, last = len(times) // 5, len(times) - 1 - len(times) // 10
    if last - first < 10:
        raise NotMeasured(f"only {len(times)} steps ended")
    return (last - first) / (times[last] - times[first]).total_seconds()


def _round(ground: Field, size: int, workers: bool) -> Callable[[], Figure]:
    def measure() -> Figure:
        if workers and not ground.redis:
            raise NotMeasured(ground.missing or "there is no Redis")
        url = ground.database().replace("postgresql://", "postgresql+psycopg://", 1)
        seconds = ground.seconds * 2
        runs = int(_RATE * size * seconds / STEPS)
        with ground.room() as room, ExitStack() as stack:
            child("scale_out", "--folder", room / "first", "--url", url, "--runs", runs)
            for number in range(size):
                broker = ground.redis if workers else ""
                file = config(room / f"node{number}", room / "first", url=url, broker=broker, workers=1)
                words = ("worker", "--config", file, "--concurrency", 1) if workers else ("serve", "--config", file)
                stack.enter_context(running(room, "served", *words, announces=not workers))
            return Figure(_watch(url, runs * STEPS, seconds))

    return measure


def scale_out(ground: Field, workers: bool) -> list[Result]:
    """Steps per second with 1, 2 and 4 processes beside one."""
    name, what = ("workers", "Celery workers") if workers else ("nodes", "nodes with one worker each")
    found = hold(replace(ground, rounds=1), {f"soar, {what}: {size}": _round(ground, size, workers) for size in SIZES})
    one = next(iter(found.values()))
    return [
        beside(
            figure,
            one,
            id=f"scale.{name}.{size}",
            title=f"PostgreSQL, {what}: {size}",
            peer="one of them",
            unit="steps/s",
        )
        for size, figure in zip(SIZES, found.values(), strict=True)
    ]


def main() -> None:
    """Prepare runs that nobody works on yet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--runs", type=int, required=True)
    options = parser.parse_args()
    house = open_house(options.folder, options.url, 1)
    try:
        begin(house, STATE_VERB, options.runs, f"{time.time_ns():x}")
    finally:
        house.close()
    tell(rate=options.runs)


if __name__ == "__main__":
    main()
