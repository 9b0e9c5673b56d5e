"""A process that has imported everything and forks one child for each wish; it has no threads of its own.

Wishes come as JSON lines on standard input (`{"id", "spec"}`), what happens to the children goes out the
same way (`started`, `stopped`, `ended`). It ends, with its children, when its input does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One forked child, as the parent sees it."""

    report: Path
    news: queue.SimpleQueue[Mapping[str, Any]] = field(default_factory=queue.SimpleQueue)
    pid: int = 0
    status: int | None = None

    def until(self, wanted: str, seconds: float = 20.0) -> bool:
        """Wait for a piece of news; False when the child ended without it. Raises queue.Empty when time is over."""
        while self.status is None:
            said = self.news.get(timeout=seconds)
            self.pid = said["pid"]
            if said["event"] == "ended":
                self.status = said["status"]
            if said["event"] == wanted:
                return True
        return wanted == "ended"

    def signal(self, number: int) -> None:
        """Send a signal, while it lives."""
        with contextlib.suppress(ProcessLookupError):  # it ended, and the news of it is on its way
            if self.status is None:
                os.kill(self.pid, number)

    def slay(self) -> None:
        """End it and all that it forked, at once."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and the news of it is on its way
                os.killpg(self.pid, signal.SIGKILL)
            self.until("ended")

    @property
    def killed(self) -> bool:
        return self.status is not None and os.WIFSIGNALED(self.status)

    def said(self) -> Mapping[str, Any]:
        """What the child told at its end; a child that broke tells why."""
        told: Mapping[str, Any] = json.loads(self.report.read_text())
        if "broke" in told:
            raise AssertionError(f"a child broke: {told['broke']}")
        return told


class Nursery:
    """The parent's end of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        words = [sys.executable, "-m", "tests.crash.nursery"]
        self._errors = (folder / "nursery.err").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=ROOT, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def fork(self, spec: Mapping[str, Any]) -> Child:
        """Fork a child that plays this spec."""
        assert self._process.stdin is not None
        with self._lock:
            number = len(self._children)
            child = self._children[number] = Child(self.folder / f"child-{number}.json")
            wish = {"id": number, "spec": {**spec, "report": str(child.report)}}
            self._process.stdin.write(json.dumps(wish) + "\n")
        assert child.until("started"), "the nursery forked nothing"
        return child

    def close(self) -> None:
        """End it and everything that it forked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._reader.join(timeout=5)
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._children[said["id"]].news.put(said)


def main() -> None:
    """Serve wishes until the input ends."""
    from tests.crash import child

    _warm(child)
    gc.collect()
    gc.freeze()
    wake, poke = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    forked: dict[int, int] = {}
    rest = b""
    while True:
        readable, _, _ = select.select([0, wake], [], [], 1.0)
        if wake in readable:
            os.read(wake, 4096)
        _reap(forked)
        if 0 in readable:
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                wish = json.loads(line)
                pid = _fork(child, wish["spec"])
                forked[pid] = wish["id"]
                _tell(id=wish["id"], event="started", pid=pid)
    for pid in forked:
        os.killpg(pid, signal.SIGKILL)


def _warm(child: Any) -> None:
    """Load what is loaded late, before the first fork: forks share it."""
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg
    import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401

    from tests.crash import drills

    drills.warm()


def _reap(forked: dict[int, int]) -> None:
    while forked:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            _tell(id=forked[pid], event="stopped", pid=pid)
        else:
            _tell(id=forked.pop(pid), event="ended", pid=pid, status=status)


def _tell(**news: Any) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _fork(child: Any, spec: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setpgrp()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(2, 1)
    try:
        told = child.play(spec)
    except BaseException:  # noqa: BLE001 - whatever breaks a child is told to the parent, and the child ends
        told = {"broke": traceback.format_exc()}
    draft = Path(spec["report"] + ".new")
    draft.write_text(json.dumps(told))
    draft.rename(spec["report"])
    os._exit(0)


if __name__ == "__main__":
    main()
