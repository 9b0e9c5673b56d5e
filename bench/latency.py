"""The item about the start: from the posted alert to the first change that an adapter is asked for."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.contest import Field
from bench.figure import NotMeasured
from bench.poster import Connection, alert
from bench.result import Result
from bench.served import ALERTS, config, running, wait_until

GOAL_MS = 100.0
EVERY = 0.6
"""Seconds between two alerts: 100 starts a minute."""
_WARM = 3
_PLAYBOOK = """\
id: bench-start
name: Measured start
triggers:
  - when: alert:severity_id >= 1
    start: automatic
variables:
  accounts: {type: list, from: scope.accounts.affected}
steps:
  - {id: act, do: revoke_consent, for_each: $accounts, as: account, with: {account: $account, app: mail-sync}}
"""


def times_in(log: Path, phase: str) -> dict[str, float]:
    """When each account was first met in a phase, by the adapter's own log."""
    found: dict[str, float] = {}
    for line in log.read_text(encoding="ascii").splitlines() if log.exists() else ():
        parts = line.split()
        if len(parts) == 4 and parts[1:3] == [phase, "revoke_consent"]:
            found.setdefault(parts[3], float(parts[0]))
    return found


def p95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed (nearest rank)."""
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def starts(url: str, log: Path, number: int) -> tuple[list[float], list[float]]:
    """Post so many alerts at a steady pace; milliseconds to the first inspection and to the first call."""
    connection = Connection(url, ALERTS)
    posted: dict[str, float] = {}
    began = time.monotonic()
    for each in range(number + _WARM):
        time.sleep(max(0.0, began + each * EVERY - time.monotonic()))
        name = f"{time.time_ns():x}"
        posted[f"account:user-{name}"] = time.time()
        if connection.post(name, alert(name, "high")) != 202:
            raise NotMeasured("an alert was not accepted")
        if each == 0:
            wait_until(lambda: bool(times_in(log, "apply")), "no adapter was called")
            began = time.monotonic() - EVERY
    wait_until(lambda: set(posted) <= set(times_in(log, "apply")), "not every alert led to a call")
    counted = list(posted)[_WARM:]
    looked, applied = times_in(log, "inspect"), times_in(log, "apply")
    return ([(looked[each] - posted[each]) * 1000 for each in counted],
            [(applied[each] - posted[each]) * 1000 for each in counted])  # fmt: skip


def measure(ground: Field, number: int, scale: bool) -> tuple[list[float], list[float]]:
    """The starts through a service with its own workers, or through PostgreSQL, Redis and a worker process."""
    with ground.room() as room, ExitStack() as stack:
        room.chmod(0o711)
        log, book = room / "calls.log", room / "bench-start.yaml"
        book.write_text(_PLAYBOOK, encoding="ascii")
        given: dict[str, Any] = {"log": log, "playbooks": [book]}
        if scale:
            if not ground.redis:
                raise NotMeasured(ground.missing or "there is no Redis")
            url = ground.database().replace("postgresql://", "postgresql+psycopg://", 1)
            file = config(room / "ours", room / "ours" / "data", url=url, broker=ground.redis, **given)
        else:
            file = config(room / "ours", room / "ours" / "data", **given)
        service = stack.enter_context(running(room, "served", "serve", "--config", file))
        if scale:
            words = ("worker", "--config", file, "--concurrency", 2)
            stack.enter_context(running(room, "served", *words, announces=False))
        return starts(service.url, log, number)


def first_call(ground: Field, number: int, scale: bool) -> list[Result]:
    """The item, in one of the two set-ups."""
    kind = "celery" if scale else "embedded"
    words: dict[str, Any] = {
        "id": f"start.{kind}", "title": f"alert posted to first call, {'Celery' if scale else 'embedded'}",
        "peer": "the goal, 100 ms", "unit": "ms, p95", "goal": 1.0, "theirs": GOAL_MS,
    }  # fmt: skip
    try:
        looked, applied = measure(ground, number, scale)
    except NotMeasured as reason:
        ground.say(f"start, {kind}: not measured: {reason}")
        return [Result(better="lower", note=f"not measured: {reason}", **words)]
    ground.say(f"start, {kind}: p95 {p95(applied):.1f} ms")
    more = {"starts": len(applied), "median": sorted(applied)[len(applied) // 2], "first_inspection_p95": p95(looked)}
    return [Result(better="lower", ours=p95(applied), more=more, **words)]
