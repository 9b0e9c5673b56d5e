"""Contests: who takes part, rounds in turn (A B C A B C), and the figure of each as medians."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.figure import Figure, NotMeasured, heard, middle
from bench.servers import Postgres, die_with_parent

_CHILD_SECONDS = 120.0
Entrants = Mapping[str, Callable[[], Figure]]
"""Who takes part: name, and how one round of it is measured."""


@dataclass(slots=True)
class Field:
    """Where the contests are held: seconds and number of rounds, the servers, a folder for everything."""

    folder: Path
    seconds: float
    rounds: int
    postgres: Postgres | None = None
    redis: str = ""
    missing: str = ""
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        sys.stderr.write(f"[{time.monotonic() - self.began:5.0f} s] {text}\n")

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for one round, empty and gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as path:
            yield Path(path)

    def database(self) -> str:
        """A fresh PostgreSQL database, as a URL; raises NotMeasured where there is no server."""
        if self.postgres is None:
            raise NotMeasured(self.missing or "there is no PostgreSQL")
        return self.postgres.database()


def child(module: str, *words: object, env: Mapping[str, str] | None = None) -> Figure:
    """Run a measuring module in a process of its own; raises NotMeasured with its last words."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, words)]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
        preexec_fn=die_with_parent(),
    )  # fmt: skip
    try:
        out, said = started.communicate(timeout=_CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()
        started.communicate()
        raise NotMeasured(f"{module} took longer than {_CHILD_SECONDS:.0f} s") from None
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if started.returncode or not lines:
        last = (said.strip().splitlines() or [f"exit code {started.returncode}"])[-1]
        raise NotMeasured(f"{module}: {last[:200]}")
    return heard(lines[-1])


def hold(ground: Field, entrants: Entrants) -> dict[str, Figure | NotMeasured]:
    """Measure everybody in turn, round after round; who fails once is out, with the reason."""
    taken: dict[str, list[Figure]] = {name: [] for name in entrants}
    out: dict[str, NotMeasured] = {}
    for number in range(ground.rounds):
        for name, measure in entrants.items():
            if name in out:
                continue
            try:
                figure = measure()
            except NotMeasured as reason:
                out[name] = reason
                ground.say(f"{name}: not measured: {reason}")
                continue
            taken[name].append(figure)
            ground.say(f"{name}: {figure.rate:,.1f} (round {number + 1} of {ground.rounds})")
    return {name: out.get(name) or middle(taken[name]) for name in entrants}
