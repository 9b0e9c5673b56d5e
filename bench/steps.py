"""The items about durable steps: our engine beside DBOS, Celery and bare commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.contest import Field, child, hold
from bench.figure import Figure, NotMeasured
from bench.house import HOLD_VERB, STATE_VERB
from bench.result import Result, beside

_UNIT = "steps/s"
_HOLD_NOTE = "theirs is our own plain step; ours also places an effect and a hold with its review"


def _local(ground: Field, module: str, clients: int, *words: object) -> Callable[[], Figure]:
    def measure() -> Figure:
        with ground.room() as room:
            return child(module, "--folder", room, "--clients", clients, "--seconds", ground.seconds, *words)

    return measure


def _served(ground: Field, module: str, clients: int, driver: str = "") -> Callable[[], Figure]:
    def measure() -> Figure:
        url = ground.database().replace("postgresql://", f"postgresql{driver}://", 1)
        return _local(ground, module, clients, "--url", url)()

    return measure


def on_sqlite(ground: Field, clients: int) -> list[Result]:
    """Our engine on SQLite beside DBOS as it ships, DBOS in WAL mode, and bare commits; a containing verb beside."""
    what = f"SQLite, {clients} {'client' if clients == 1 else 'clients'}"
    entrants = {
        f"soar, {what}": _local(ground, "engine", clients, "--verb", STATE_VERB),
        f"DBOS as shipped, {what}": _local(ground, "dbos_steps", clients),
        f"DBOS in WAL, {what}": _local(ground, "dbos_steps", clients, "--wal"),
        f"bare commits, {what}": _local(ground, "bare", clients),
    }
    if clients == 1:
        entrants[f"soar, containing verb, {what}"] = _local(ground, "engine", clients, "--verb", HOLD_VERB)
    ours, shipped, wal, bare, *holding = hold(ground, entrants).values()
    name = f"steps.sqlite.{clients}"
    both: dict[str, Any] = {"title": what, "unit": _UNIT}
    results = [
        beside(ours, shipped, id=f"{name}.dbos", peer="DBOS as shipped", goal=3, **both),
        beside(ours, wal, id=f"{name}.dbos_wal", peer="DBOS in WAL", goal=2, **both),
        beside(ours, bare, share=0.5, id=f"{name}.bare", peer="two bare commits a step", goal=0.25, **both),
    ]
    for each in holding:
        words: dict[str, Any] = {
            "title": f"{what}, containing verb",
            "peer": "our plain step",
            "unit": _UNIT,
            "note": _HOLD_NOTE,
        }
        results.append(beside(each, ours, id=f"{name}.hold", **words))
    return results


def on_postgres(ground: Field, clients: int) -> list[Result]:
    """Our engine on PostgreSQL beside DBOS and bare commits on the same server."""
    many = "client" if clients == 1 else "clients"
    found = hold(
        ground,
        {
            f"soar, PostgreSQL, {clients} {many}": _served(ground, "engine", clients, "+psycopg"),
            f"DBOS, PostgreSQL, {clients} {many}": _served(ground, "dbos_steps", clients),
            f"bare commits, PostgreSQL, {clients} {many}": _served(ground, "bare", clients),
        },
    )
    ours, theirs, bare = found.values()
    what = f"PostgreSQL, {clients} {many}"
    return [
        beside(ours, theirs, id=f"steps.postgres.{clients}.dbos", title=what, peer="DBOS", unit=_UNIT,
               goal=2 if clients == 1 else 3),
        beside(ours, bare, share=0.5, id=f"steps.postgres.{clients}.bare", title=what, peer="two bare commits a step",
               unit=_UNIT, goal=0.25),
    ]  # fmt: skip


def _celery(ground: Field, clients: int, *words: object, fast: bool = False) -> Callable[[], Figure]:
    def measure() -> Figure:
        if not ground.redis:
            raise NotMeasured(ground.missing or "there is no Redis")
        import redis

        redis.Redis.from_url(ground.redis).flushall()
        chains = int((400 if fast else 150) * ground.seconds)
        with ground.room() as room:
            env = {"BENCH_BROKER": ground.redis, "BENCH_FAST": "1" if fast else "0", "BENCH_TIMES": str(room / "times")}
            given = ("--folder", room, "--clients", clients, "--seconds", ground.seconds, "--chains", chains, *words)
            told = child("celery_chain", *given, env=env)
        return Figure(told.rate, told.more["worker_cpu"], told.more["worker_mb"])

    return measure


def beside_celery(ground: Field, clients: int) -> list[Result]:
    """Our engine on SQLite beside a worker of Celery on Redis: equally durable, and as fast as Celery can be."""
    many = "client" if clients == 1 else "clients"
    pool = "solo" if clients == 1 else "threads"
    found = hold(
        ground,
        {
            f"soar, SQLite, {clients} {many} (for Celery)": _local(ground, "engine", clients),
            f"Celery durable, {clients} {many}": _celery(ground, clients),
            f"Celery fastest, {clients} {many}": _celery(ground, clients, "--pool", pool, fast=True),
        },
    )
    ours, durable, fastest = found.values()
    what = f"SQLite, {clients} {many}"
    return [
        beside(ours, durable, id=f"steps.celery.{clients}", title=what,
               peer="Celery chain, Redis AOF always, late ack, results", unit=_UNIT, goal=2),
        beside(ours, fastest, id=f"steps.celery.{clients}.fastest", title=what,
               peer=f"Celery chain, early ack, no results, {pool} pool", unit=_UNIT),
    ]  # fmt: skip
