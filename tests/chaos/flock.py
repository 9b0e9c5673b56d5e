"""The processes of a house: started, signalled, started again. Only what was started here is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.house import House
from tests.conftest import ROOT
from tests.servers import free_port

HANDS = 2
"""Pool processes of a worker node."""


@dataclass(slots=True)
class Member:
    """A process that is started again whenever it has ended, as a supervisor does."""

    name: str
    words: list[str]
    folder: Path
    env: dict[str, str]
    starts: int = 0
    expected: bool = True
    """Whether its end, should it have come, is our doing."""
    process: subprocess.Popen[bytes] | None = None
    ready_since: float = 0.0
    """When it was first seen to be ready (monotonic); 0 before."""
    _log: Path = Path()

    def start(self) -> None:
        """Start it; it is ready when it says so."""
        self.starts += 1
        self.expected, self.ready_since = False, 0.0
        self._log = self.folder / f"{self.name}-{self.starts}.out"
        command = [sys.executable, "-m", "tests.chaos.node", *self.words, "--with-parent"]
        with self._log.open("wb") as out, (self.folder / f"{self.name}.err").open("ab") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT,
                                            env=self.env)  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        if not self.ready_since and self._log.read_bytes().startswith(b"READY "):
            self.ready_since = time.monotonic()
        return self.alive and self.ready_since > 0

    def ready_for(self, seconds: float) -> bool:
        """It has been ready for so long."""
        return self.ready and time.monotonic() - self.ready_since >= seconds

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """The ids of its own children."""
        with suppress(OSError):
            return [int(each) for each in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / f"{self.name}.err").read_text(errors="replace")[-4000:]


@dataclass(slots=True)
class Flock:
    """All processes of one house."""

    house: House
    members: list[Member] = field(default_factory=list)
    deserted: list[str] = field(default_factory=list)
    """Members that ended by themselves although they were ready."""
    orphans: set[int] = field(default_factory=set)
    """Children of nodes that were killed alone: they must end by themselves."""

    @property
    def services(self) -> list[Member]:
        return [each for each in self.members if each.words[0] == "serve"]

    @property
    def workers(self) -> list[Member]:
        return [each for each in self.members if each.words[0] == "worker"]

    @property
    def doors(self) -> list[str]:
        """Where each service answers."""
        return [f"http://127.0.0.1:{each.words[-1]}/api/v1" for each in self.services]

    def grow(self, services: int, workers: int) -> None:
        """Start so many of each; returns when all are ready."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("SOAR_")}
        env |= self.house.environment()
        words = [["serve", "--port", str(free_port())] for _ in range(services)]
        words += [["worker", "--concurrency", str(HANDS)] for _ in range(workers)]
        for number, each in enumerate(words):
            self.members.append(Member(f"{each[0]}-{number}", each, self.house.folder, env))
            self.members[-1].start()
        self.gather(90)

    def tend(self) -> None:
        """Start again whoever has ended."""
        for member in self.members:
            if not member.alive:
                if not member.expected and member.ready_since:
                    code = member.process.returncode if member.process else None
                    self.deserted.append(f"{member.name} ended by itself with {code}: {member.said()[-1500:]}")
                member.start()

    def gather(self, seconds: float) -> None:
        """Everybody is there and ready; raises AssertionError with the last words of who is not."""
        ends = time.monotonic() + seconds
        while not all(member.ready for member in self.members):
            self.tend()
            late = [f"{member.name}: {member.said()}" for member in self.members if not member.ready]
            assert time.monotonic() < ends, late
            time.sleep(0.05)

    def kill(self, member: Member, *, alone: bool = False) -> None:
        """SIGKILL of a process and its children, or of it alone."""
        children = member.children()
        member.expected = True
        _send(signal.SIGKILL, member.pid, *(() if alone else children))
        if alone:
            self.orphans.update(children)
        assert member.process is not None
        member.process.wait()

    def stop(self) -> list[int]:
        """SIGTERM for all; their exit codes."""
        for member in self.members:
            member.expected = True
            if member.alive:
                _send(signal.SIGTERM, member.pid)
        return [member.process.wait(40) for member in self.members if member.process is not None]

    def end(self) -> None:
        """Whatever is left of all that was started here is gone."""
        for member in self.members:
            if member.alive:
                self.kill(member)
        for pid in self.lingering():
            _send(signal.SIGKILL, pid)

    def lingering(self) -> list[int]:
        """Orphans that still run, and are what they were: a process of ours without its node."""
        return [pid for pid in self.orphans if b"tests.chaos.node" in _cmdline(pid)]


def _send(number: int, *pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _cmdline(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
