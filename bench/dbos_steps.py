"""Steps per second of DBOS: each client runs one workflow of no-op steps for the whole round.

In the figure is only what a step costs: the step's own row in the system database. Starting and
ending workflows is left out, in favour of DBOS; `with_workflows` is the figure for workflows of ten
steps, one after another, with their starts and ends.
"""

from __future__ import annotations

import argparse
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dbos import DBOS

from bench.figure import Meter, tell
from bench.house import STEPS


def in_threads(clients: int, work: Callable[[], int]) -> tuple[int, float]:
    """Run the same work in each client's thread; how much was done in all, and in how many seconds."""
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(work())) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), time.perf_counter() - began


def main() -> None:
    """Measure once, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--wal", action="store_true")
    options = parser.parse_args()
    file = options.folder / "dbos.sqlite"
    if options.wal:
        sqlite3.connect(file).execute("PRAGMA journal_mode=WAL").fetchone()
    DBOS(config={"name": "bench", "system_database_url": options.url or f"sqlite:///{file}", "log_level": "ERROR"})

    @DBOS.step()  # type: ignore[untyped-decorator]
    def step(number: int) -> int:
        return number

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    def for_seconds(seconds: float) -> tuple[int, float]:
        began, done = time.perf_counter(), 0
        while (gone := time.perf_counter() - began) < seconds:
            step(done)
            done += 1
        return done, gone

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    def ten() -> None:
        for number in range(STEPS):
            step(number)

    def workflows() -> int:
        ends, done = time.perf_counter() + options.seconds / 3, 0
        while time.perf_counter() < ends:
            ten()
            done += STEPS
        return done

    rates: list[float] = []

    def steps() -> int:
        done: int
        done, gone = for_seconds(options.seconds)
        rates.append(done / gone)
        return done

    DBOS.launch()
    ten()
    whole, seconds = in_threads(options.clients, workflows)
    meter = Meter()
    done, _ = in_threads(options.clients, steps)
    meter.stop()
    tell(rate=sum(rates), meter=meter, done=done, with_workflows=whole / seconds)
    DBOS.destroy()


if __name__ == "__main__":
    main()
