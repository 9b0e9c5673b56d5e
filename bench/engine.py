"""Steps per second of our engine: a process of its own that prepares runs, starts the workers and waits.

The clock runs from the start of the workers to the end of the last run. In it are: claiming, the
guards, two inspections, the intent, the call, the outcome, all events of step and action, the end of
the run, and whatever the poller and the sealer do meanwhile. Opening incidents and beginning runs
comes before.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import sqlalchemy as sa

from api.wiring import House
from bench.figure import Meter, tell
from bench.house import STATE_VERB, STEPS, begin, open_house, wait_for
from soar.store.tables import events

_TRIAL = 20
"""So many runs tell how many are needed for a round, and warm everything up."""


def round_of(
    folder: Path, url: str, clients: int, runs: int, verb: str, prefix: str, slow: float
) -> tuple[float, Meter, dict[str, float]]:
    """Seconds for so many runs in a house with so many workers, what they took, and facts beside."""
    house = open_house(folder, url, clients)
    try:
        first = begin(house, verb, runs, prefix)
        house.sealer.seal()  # it reads the whole log the first time, which is a start's cost and no step's
        before = _stored(house)
        meter = Meter()
        began = time.perf_counter()
        house.start()
        ended = wait_for(house, first, runs * STEPS, slow)
        meter.stop()
        more, grown = (now - then for now, then in zip(_stored(house), before, strict=True))
        facts = {
            "threads": threading.active_count(), "events_a_step": more / (runs * STEPS),
            "bytes_a_step": grown / (runs * STEPS),
        }  # fmt: skip
        return ended - began, meter, facts
    finally:
        house.close()


def _stored(house: House) -> tuple[int, int]:
    """How many events stand in the database, and how many bytes it has."""
    with house.store.read() as conn:
        count = conn.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
        if conn.dialect.name == "sqlite":
            pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(count), int(pages) * int(conn.exec_driver_sql("PRAGMA page_size").scalar_one())
        return int(count), int(conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


def main() -> None:
    """Measure once, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--verb", default=STATE_VERB)
    options = parser.parse_args()
    where = (options.folder, options.url, options.clients)
    name = f"{time.time_ns():x}"
    trial, *_ = round_of(*where, _TRIAL, options.verb, f"{name}a", 60)
    runs = max(_TRIAL, int(_TRIAL / trial * options.seconds))
    seconds, meter, facts = round_of(*where, runs, options.verb, f"{name}b", 20 * options.seconds + 20)
    tell(rate=runs * STEPS / seconds, meter=meter, done=runs * STEPS, **facts)


if __name__ == "__main__":
    main()
