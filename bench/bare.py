"""Commits per second of the bare database: one small row inserted in a commit of its own, nothing else.

SQLite in WAL mode with full sync, as the product sets it; each client has a connection of its own.
"""

from __future__ import annotations

import argparse
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.figure import Meter, tell

_ROW = "x" * 200


def sqlite_client(file: Path) -> Callable[[float], int]:
    """A client that commits to a SQLite file until a time."""

    def commit_until(ends: float) -> int:
        done = 0
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as conn:
            conn.execute("PRAGMA synchronous=FULL")
            while time.perf_counter() < ends:
                conn.execute("BEGIN IMMEDIATE")
                conn.execute("INSERT INTO bare (text) VALUES (?)", (_ROW,))
                conn.execute("COMMIT")
                done += 1
        return done

    with closing(sqlite3.connect(file)) as conn:
        conn.execute("PRAGMA journal_mode=WAL").fetchone()
        conn.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, text TEXT)")
        conn.commit()
    return commit_until


def postgres_client(url: str) -> Callable[[float], int]:
    """A client that commits to a PostgreSQL database until a time; one round trip for each commit."""
    import psycopg

    def commit_until(ends: float) -> int:
        done = 0
        with psycopg.connect(url, autocommit=True) as conn:
            while time.perf_counter() < ends:
                conn.execute("INSERT INTO bare (text) VALUES (%s)", (_ROW,))
                done += 1
        return done

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS bare (id BIGSERIAL PRIMARY KEY, text TEXT)")
    return commit_until


def main() -> None:
    """Measure once, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    options = parser.parse_args()
    client = postgres_client(options.url) if options.url else sqlite_client(options.folder / "bare.db")
    counts: list[int] = []
    meter, began = Meter(), time.perf_counter()
    ends = began + options.seconds
    threads = [threading.Thread(target=lambda: counts.append(client(ends))) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.stop()
    tell(rate=sum(counts) / (time.perf_counter() - began), meter=meter, done=sum(counts))


if __name__ == "__main__":
    main()
