"""Steps per second of Celery: chains of ten no-op tasks through one worker on the given Redis.

Durable: late acknowledgement, rejected when a worker is lost, prefetch of one, results kept in Redis.
Fast (`--fast`): early acknowledgement, no results, prefetch as shipped. The chains are queued before
the worker starts; each task writes down when it ran, and the rate is that of the middle of the round.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import psutil
from celery import Celery, chain

from bench.figure import NotMeasured, tell
from bench.house import STEPS
from bench.servers import die_with_parent, end

_BROKER, _FAST = os.environ.get("BENCH_BROKER", ""), os.environ.get("BENCH_FAST") == "1"
_TIMES = os.environ.get("BENCH_TIMES", "")
_STAMP = struct.Struct("<d")
_START = 30.0

app = Celery("bench", broker=_BROKER, backend=None if _FAST else _BROKER)
app.conf.update(
    task_acks_late=not _FAST, task_reject_on_worker_lost=not _FAST, task_ignore_result=_FAST,
    worker_prefetch_multiplier=4 if _FAST else 1, broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)  # fmt: skip
_file = -1


@app.task(name="bench.step")  # type: ignore[untyped-decorator]
def step(number: int) -> int:
    """A task that does nothing but say when it ran."""
    global _file  # noqa: PLW0603 - one descriptor for each process of the worker's pool
    if _file < 0:
        _file = os.open(_TIMES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_file, _STAMP.pack(time.time()))
    return number


def stamps(file: Path) -> list[float]:
    """When each task ran, in order."""
    if not file.exists():
        return []
    raw = file.read_bytes()
    return sorted(moment for (moment,) in _STAMP.iter_unpack(raw[: len(raw) // _STAMP.size * _STAMP.size]))


def middle_rate(times: list[float]) -> float:
    """Tasks per second between the first tenth and the last tenth of what ran."""
    first, last = len(times) // 10, len(times) - 1 - len(times) // 10
    if last - first < 10:
        raise NotMeasured(f"only {len(times)} tasks ran")
    return (last - first) / (times[last] - times[first])


def work(folder: Path, clients: int, seconds: float, chains: int, pool: str) -> None:
    """Queue the chains, run a worker over them for a while, and tell."""
    for _ in range(chains):
        chain(*(step.si(number) for number in range(STEPS))).apply_async()
    command = [
        sys.executable, "-m", "celery", "-A", "bench.celery_chain", "worker", "-c", str(clients), "-P", pool,
        "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR",
    ]  # fmt: skip
    with (folder / "celery.log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent())
    try:
        _watch(Path(_TIMES), seconds, chains * STEPS)
        tree = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        cpu = sum(each.cpu_times().user + each.cpu_times().system for each in tree)
        peak = sum(each.memory_info().rss for each in tree) / 2**20
    finally:
        end(worker, seconds=5)
    times = stamps(Path(_TIMES))
    tell(rate=middle_rate(times), worker_cpu=cpu / len(times) * 1000, worker_mb=peak)


def _watch(file: Path, seconds: float, all_of_them: int) -> None:
    gives_up, ends = time.monotonic() + _START, 0.0
    while not ends or time.monotonic() < ends:
        ran = file.stat().st_size // _STAMP.size if file.exists() else 0
        if ran and not ends:
            ends = time.monotonic() + seconds
        if ran >= all_of_them or (not ends and time.monotonic() > gives_up):
            return
        time.sleep(0.02)


def main() -> None:
    """Measure once, and tell; the broker and the file for the times come from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--pool", default="prefork")
    options = parser.parse_args()
    work(options.folder, options.clients, options.seconds, options.chains, options.pool)


if __name__ == "__main__":
    from bench import celery_chain  # noqa: PLW0406 - the worker knows the tasks by the module's own name, not as __main__

    celery_chain.main()
