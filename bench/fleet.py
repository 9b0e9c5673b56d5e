"""From what a step costs here to what a fleet needs: arithmetic, and a small simulation of a bad hour.

`python -m bench.fleet` prints what stands in docs/fleet.md. The figures come from `build/bench.json`
where they were measured, else from the constants below. The simulation is seeded: the same figures
give the same page.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench import report
from bench.house import STEPS
from bench.report import Entry, number

SEED = 20261123
DAY, YEAR = 86_400, 365 * 86_400
PEAK = 10.0
"""The busiest minute against the average one."""
BUSY = 0.7
"""How far anything is loaded on purpose."""
_RUNS_A_DAY = (1_000, 10_000, 100_000, 1_000_000)
_NODES = (1, 2, 4, 8, 16, 32)
_OUTBREAK = 2_000
_CALL_MEDIAN, _CALL_SPREAD = 0.3, 0.8
"""How long a vendor's API takes: seconds, and the sigma of the logarithm."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a step costs: worker CPU (ms), events, bytes, commits; and the commits/s that the database does."""

    cpu_ms: float = 1.5
    events: float = 8.0
    size: float = 16_300.0
    commits: float = 2.0
    commits_a_second: float = 4_000.0
    measured: str = "constants of 2026-11-23, of a slower version"


def costs(entries: Sequence[Entry]) -> Costs:
    """The costs as they were measured on PostgreSQL with eight clients, or else on SQLite."""
    known = {entry["id"]: entry for entry in entries}
    base = Costs()
    for store in ("postgres", "sqlite"):
        found = known.get(f"steps.{store}.8.bare")
        if found is None or found["ours"] is None or found["theirs"] is None:
            continue
        more = found["more"]
        return Costs(
            cpu_ms=found["ours_cpu"], events=more.get("ours_events_a_step", base.events),
            size=more.get("ours_bytes_a_step", base.size), commits_a_second=found["theirs"] * base.commits,
            measured=f"measured on {found['measured']}, {store}, eight clients",
        )  # fmt: skip
    return base


def arithmetic(cost: Costs) -> list[tuple[str, ...]]:
    """A row for each size of fleet, from runs a day to what breaks first."""
    rows: list[tuple[str, ...]] = []
    for runs in _RUNS_A_DAY:
        average = runs * STEPS / DAY
        peak = average * PEAK
        cores = peak * cost.cpu_ms / 1000 / BUSY
        commits = peak * cost.commits / cost.commits_a_second
        a_year = average * YEAR * cost.size
        a_month = average * cost.events * YEAR / 12
        rows.append(
            (
                f"{runs:,}", number(average), number(peak), number(peak * cost.events), f"{math.ceil(cores)}",
                f"{commits:.0%}", f"{number(a_month / 1e6)} million", _bytes(a_year), _first(commits, a_year, a_month),
            )
        )  # fmt: skip
    return rows


def _bytes(size: float) -> str:
    return f"{number(size / 1e12)} TB" if size >= 1e12 else f"{number(size / 1e9)} GB"


def _first(commits: float, a_year: float, a_month: float) -> str:
    """What has to change first at this size."""
    if commits > BUSY:
        return "the database's commits: a second database, by customer or region"
    if a_year > 2e12:
        return "the database's size: monthly partitions, old ones to cheap storage"
    if a_month > 50e6:
        return "the size of the events table: monthly partitions"
    return "nothing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the simulation saw: seconds to clear the outbreak, p95 start of critical runs, load of each part."""

    cleared: float
    critical_p95: float
    cpu: float
    database: float
    slots: float


class Station:
    """So many servers with one queue, first come first served."""

    def __init__(self, servers: int) -> None:
        self._free = [0.0] * servers
        self._servers = servers
        self.busy = 0.0

    def serve(self, at: float, seconds: float) -> float:
        """When a job that comes at a time is done."""
        began = max(at, heapq.heappop(self._free))
        heapq.heappush(self._free, began + seconds)
        self.busy += seconds
        return began + seconds

    def load(self, until: float) -> float:
        """The share of the time in which the servers worked."""
        return self.busy / (self._servers * until)


def outbreak(cost: Costs, nodes: int, *, cores: int = 4, slots: int = 16, seed: int = SEED) -> Outcome:
    """2,000 low runs begin in one minute on so many nodes; a critical one begins every two seconds beside them.

    A step holds a slot of a worker, takes its CPU, its commits in the one database, and waits for the
    vendor. A slot goes on with its run; a free slot takes the best ready run, by priority and age.
    """
    draw = random.Random(seed)  # noqa: S311 - a simulation
    cpu, database = Station(nodes * cores), Station(1)
    arrivals = [(draw.uniform(0, 60), 1) for _ in range(_OUTBREAK)] + [(2.0 * each, 0) for each in range(1, 31)]
    events: list[tuple[float, int, int, int]] = [(at, each, each, -1) for each, (at, _) in enumerate(sorted(arrivals))]
    heapq.heapify(events)
    order = [priority for _, priority in sorted(arrivals)]
    ready: list[tuple[int, float, int]] = []
    free, held, starts, now, number_of = nodes * slots, 0.0, [], 0.0, len(events)
    while events:
        now, _, run, left = heapq.heappop(events)
        if left < 0:
            heapq.heappush(ready, (order[run], now, run))
        elif left == 0:
            free += 1
        todo = [(run, left)] if left > 0 else []
        while free and ready:
            priority, came, first = heapq.heappop(ready)
            free -= 1
            todo.append((first, STEPS))
            if priority == 0:
                starts.append(now - came)
        for each, steps in todo:
            computed = cpu.serve(now, cost.cpu_ms / 1000)
            stored = database.serve(computed, cost.commits / cost.commits_a_second)
            done = stored + draw.lognormvariate(math.log(_CALL_MEDIAN), _CALL_SPREAD)
            held += done - now
            number_of += 1
            heapq.heappush(events, (done, number_of, each, steps - 1))
    starts.sort()
    p95 = starts[-(-95 * len(starts) // 100) - 1]
    return Outcome(now, p95, cpu.load(now), database.load(now), held / (nodes * slots * now))


def markdown(entries: Sequence[Entry]) -> str:
    """What stands in the page."""
    cost = costs(entries)
    told = (
        f"A step costs ({cost.measured}): {number(cost.cpu_ms)} ms of a worker's processor, {number(cost.events)} "
        f"events, {number(cost.size / 1000)} kB in the database, {number(cost.commits)} commits at most. "
        f"The database does {number(cost.commits_a_second)} bare commits a second."
    )
    hour = (
        f"The bad hour, simulated (seed {SEED}): {_OUTBREAK:,} low runs begin within a minute, and a critical one "
        f"every two seconds beside them. Nodes have 4 cores and 16 workers; a vendor's API takes {_CALL_MEDIAN} s "
        "(median)."
    )
    heads = (
        "Runs a day", "Steps/s", "Steps/s at the peak", "Events/s at the peak", "Cores at the peak",
        "Commits used at the peak", "Events a month", "Size a year", "What has to change first",
    )  # fmt: skip
    lines = [
        told, "", f"| {' | '.join(heads)} |", "|---:|---:|---:|---:|---:|---:|---:|---:|---|",
        *(f"| {' | '.join(row)} |" for row in arithmetic(cost)), "", hour, "",
        "| Nodes | All cleared after | Critical start, p95 | Workers held | Processors busy | Database busy |",
        "|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for nodes in _NODES:
        seen = outbreak(cost, nodes)
        lines.append(
            f"| {nodes} | {seen.cleared:.0f} s | {seen.critical_p95:.2f} s | {seen.slots:.0%} | {seen.cpu:.0%} "
            f"| {seen.database:.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown(report.load()) + "\n")
