"""One story of chaos from beginning to end, and its numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import httpx2
import sqlalchemy as sa

from tests.chaos.flock import Flock
from tests.chaos.house import House
from tests.chaos.ledger import Ledger, Verdict, judge
from tests.chaos.monkey import Monkey
from tests.chaos.siem import Siem, asked
from tests.crash import drills
from tests.servers import Postgres, Redis

CALM = 20
"""So many runs are done in peace, to know how long one takes."""
SETTLES = 60.0
"""Seconds after the last fault in which everything must have come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who plays: how many runs, over how many seconds, in how many processes."""

    runs: int
    seconds: float
    services: int
    workers: int
    pause: float
    seed: int


def play(house: House, cast: Cast, database: Postgres | None, broker: Redis | None) -> None:
    """Play it and judge it; prints the numbers, fails with every finding."""
    print(f"\nchaos: seed {cast.seed} (again with --chaos-seed {cast.seed})")
    key, incidents = house.prepare(cast.runs + CALM)
    flock = Flock(house)
    engine = sa.create_engine(house.settings().url, poolclass=sa.NullPool)
    try:
        flock.grow(cast.services, cast.workers)
        starts = asked(incidents, cast.seed)
        calm = Siem(flock.doors, key, starts[:CALM], cast.seed, CALM / 20)
        calm.start()
        calm.join()
        settle(engine, 30.0)
        began = time.monotonic()
        siem = Siem(flock.doors, key, starts[CALM:], cast.seed, cast.seconds)
        monkey = Monkey(flock, cast.seed, cast.pause, database, broker)
        siem.start()
        monkey.start()
        try:
            siem.join()
        finally:
            monkey.stop()
        stormy = time.monotonic() - began
        flock.gather(60)
        settled = settle(engine, SETTLES)
        sealed = verify(flock.doors[0], key)
        lingering = flock.lingering()
        codes = flock.stop()
        books = Ledger.of(engine, house.target)
        verdict = judge(books, starts)
    finally:
        flock.end()
        engine.dispose()
    _tell(cast, monkey, siem, verdict, books, stormy, settled)
    found = [*calm.wrong, *siem.wrong, *verdict.wrong, *map(str, sealed), *flock.deserted]
    found += [f"the hand {pid} goes on without its node" for pid in lingering]
    found += [f"told to stop, a process ended with {code}" for code in codes if code != 0]
    assert not found, "\n".join([f"{len(found)} findings, seed {cast.seed}:", *found[:20]])


def settle(engine: sa.Engine, seconds: float) -> float:
    """Wait until no work is ready or held, and no timer will wake any; how long that took, `seconds` at most."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        with engine.connect() as conn:
            if drills.settled(conn):
                break
        time.sleep(0.1)
    return time.monotonic() - began


def verify(door: str, key: str) -> list[Any]:
    """What the service itself finds wrong with the log, once all of it is sealed."""
    ends = time.monotonic() + 20
    while True:
        answer = httpx2.get(
            f"{door}/audit/verify", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        )
        answer.raise_for_status()
        found = answer.json()
        if found["problems"] or found["size"] == found["events"]:
            return list(found["problems"])
        if time.monotonic() > ends:
            return [f"only {found['size']} of {found['events']} events are sealed"]
        time.sleep(0.3)


def _tell(
    cast: Cast, monkey: Monkey, siem: Siem, verdict: Verdict, books: Ledger, stormy: float, settled: float
) -> None:
    took = {run.id: (run.ended_at - run.created_at).total_seconds() for run in books.runs if run.ended_at}
    quick = [seconds for run, seconds in took.items() if run not in {each.acknowledged for each in siem.starts}]
    slow = [
        run.ended_at.timestamp() - start.asked_at
        for start in siem.starts
        for run in books.runs
        if run.id == start.acknowledged and run.ended_at
    ]
    given_up = sum(not each.acknowledged for each in siem.starts)
    tries = sum(each.tries for each in siem.starts)
    print(f"  runs {len(books.runs)}: {siem.answered} acknowledged after {tries} requests, {given_up} given up")
    print(f"  faults in {stormy:.0f} s: {', '.join(f'{what} {n}' for what, n in sorted(monkey.done.items()))}")
    print(f"  ends: {dict(verdict.statuses)}; in doubt {verdict.in_doubt} (unsafe to repeat only)")
    print(f"  lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, other findings {len(verdict.other)}")
    if len(slow) > 1 and quick:
        added = quantiles(slow, n=20)[-1] - median(quick)
        print(f"  a run in peace {median(quick):.2f} s; p95 added delay {added:.1f} s; settled after {settled:.1f} s")
