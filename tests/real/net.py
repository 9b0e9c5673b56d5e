"""Network namespaces: machines of one kernel, joined by virtual cables."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Namespace:
    """A machine's network. The one named "" is that of this process."""

    name: str = ""

    def argv(self, *words: str) -> list[str]:
        """The command line that runs these words there; for `tests.servers.Server` too."""
        return ["ip", "netns", "exec", self.name, *words] if self.name else list(words)

    def run(self, *words: str, given: str = "", check: bool = True, seconds: float = 20) -> str:
        """Run a program there; returns what it printed. Raises RuntimeError with that when it fails and `check`."""
        done = subprocess.run(
            self.argv(*words), input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=seconds,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout.strip()}")
        return done.stdout


HERE = Namespace()


@contextmanager
def namespaces(*names: str) -> Iterator[list[Namespace]]:
    """Machines by name (at most 15 characters), each with its loopback up; their processes end with them."""
    made: list[Namespace] = []
    try:
        for name in names:
            HERE.run("ip", "netns", "add", name)
            made.append(Namespace(name))
            made[-1].run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        for each in made:
            _empty(each)
            HERE.run("ip", "netns", "del", each.name)


def cable(one: Namespace, address: str, other: Namespace, against: str) -> None:
    """Join two machines: `address` and `against` are theirs, with the length of the network (`10.66.1.10/24`).

    The ends are called after the machines at their other end: `to-NAME`.
    """
    ends = [(one, f"to-{other.name or 'here'}"[:15], address), (other, f"to-{one.name or 'here'}"[:15], against)]
    words = [word for where, end, _ in ends for word in (end, *(("netns", where.name) if where.name else ()), "|")]
    first, second = words[: words.index("|")], words[words.index("|") + 1 : -1]
    HERE.run("ip", "link", "add", *first, "type", "veth", "peer", "name", *second)
    for where, end, own in ends:
        where.run("ip", "address", "add", own, "dev", end)
        where.run("ip", "link", "set", end, "up")


def left_behind() -> list[str]:
    """Processes beside our own line and namespaces that still are there. What is about to end has a second."""
    ends = time.monotonic() + 1
    while (found := _processes() + HERE.run("ip", "netns", "list").split("\n")[:-1]) and time.monotonic() < ends:
        time.sleep(0.05)
    return found


def _processes() -> list[str]:
    ours, pid = {1}, os.getpid()
    while pid > 1:
        ours.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(folder.name) not in ours and state != "Z" and parent != "2":
                found.append((folder / "cmdline").read_text().replace("\0", " ").strip() or folder.name)
    return found


def _empty(where: Namespace) -> None:
    for pid in HERE.run("ip", "netns", "pids", where.name).split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
