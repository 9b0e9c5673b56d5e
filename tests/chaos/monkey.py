"""Who breaks things: kills, freezes and flushes at random, from a seed; what it broke comes back."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from tests.chaos.flock import Flock, Member, _send
from tests.chaos.house import CLAIM
from tests.servers import Postgres, Redis

FROZEN = (1.2 * CLAIM, 2.0 * CLAIM)
"""A frozen process stays so for longer than its claim holds."""
AWAY = 2.0
"""PostgreSQL and Redis are away for at most so many seconds."""
BREATH = 1.0
"""A process is hit when all of its kind have been ready for so long, so that a slow machine gets anywhere at all."""
BETWEEN = 3.0
"""Seconds from PostgreSQL's return to its next end, at least."""
NOBODY = "nobody there"
"""What a fault says that found nobody to hit; another one is chosen."""
RECKLESS = 0.05
"""The share of hits that do not wait for that: what is only starting is hit too."""


@dataclass(slots=True)
class Monkey:
    """One fault after another, `pause` seconds apart at most; `faults` are those that fit the house, with weights."""

    flock: Flock
    seed: int
    pause: float
    database: Postgres | None = None
    broker: Redis | None = None
    done: Counter[str] = field(default_factory=Counter)
    trouble: list[BaseException] = field(default_factory=list)
    _chance: random.Random = field(init=False)
    _over: threading.Event = field(default_factory=threading.Event)
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _again: dict[str, float] = field(default_factory=dict)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._rage, name="monkey")
        self._thread.start()

    def stop(self) -> None:
        """Break nothing more, and put everything back; raises what broke the monkey itself."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        for error in self.trouble:
            raise error

    def faults(self) -> Mapping[Callable[[], str], float]:
        """What can be done to this house, and how often beside the others."""
        fleet = bool(self.flock.workers)
        wanted: dict[Callable[[], str], float] = {
            self._kill_service: 1 if fleet else 3,
            self._freeze_service: 0.5 if fleet else 1,
        }
        if fleet:
            wanted |= {
                self._kill_hand: 8, self._freeze_hand: 4, self._kill_node: 1, self._kill_head: 0.5,
                self._freeze_node: 1,
            }  # fmt: skip
        if self.database is not None:
            wanted[partial(self._take_down, self.database)] = 3
        if self.broker is not None:
            wanted |= {partial(self._take_down, self.broker): 1, self._flush: 1}
        return wanted

    def _rage(self) -> None:
        faults = self.faults()
        try:
            again = 0.0
            while not self._over.wait(0.05):
                self._put_back(time.monotonic())
                self.flock.tend()
                if time.monotonic() >= again:
                    (fault,) = self._chance.choices(list(faults), list(faults.values()))
                    what, pause = fault(), self._chance.uniform(0.3, 1) * self.pause
                    self.done[what] += what != NOBODY
                    again = time.monotonic() + (pause if what != NOBODY else 0.0)
        except BaseException as error:  # noqa: BLE001 - a monkey that breaks is told to the test
            self.trouble.append(error)
        finally:
            self._put_back(float("inf"))

    def _put_back(self, now: float) -> None:
        """What was to be undone by now."""
        waiting = [each for each in self._later if each[0] > now]
        due = [each for each in self._later if each[0] <= now]
        self._later = waiting
        for _, undo in due:
            undo()

    def _pick(self, among: list[Member]) -> Member | None:
        """One of those that are ready."""
        chosen, reckless = self._chance.choice(among), self._chance.random() < RECKLESS
        ready = all(each.ready_for(BREATH) for each in among)
        return chosen if chosen.alive and (ready or reckless) else None

    def _kill_hand(self) -> str:
        hands = [pid for member in self.flock.workers if member.ready for pid in member.children()]
        if not hands:
            return NOBODY
        _send(signal.SIGKILL, self._chance.choice(sorted(hands)))
        return "hands killed"

    def _freeze_hand(self) -> str:
        hands = [pid for member in self.flock.workers if member.ready for pid in member.children()]
        if not hands:
            return NOBODY
        self._freeze(self._chance.choice(sorted(hands)))
        return "hands frozen"

    def _kill_node(self) -> str:
        member = self._pick(self.flock.workers)
        if member is None:
            return NOBODY
        self.flock.kill(member)
        return "nodes killed"

    def _kill_head(self) -> str:
        """The node alone; its hands are left without a head."""
        member = self._pick(self.flock.workers)
        if member is None:
            return NOBODY
        self.flock.kill(member, alone=True)
        return "heads killed"

    def _freeze_node(self) -> str:
        member = self._pick(self.flock.workers)
        if member is None:
            return NOBODY
        self._freeze(member.pid, *member.children())
        return "nodes frozen"

    def _kill_service(self) -> str:
        member = self._pick(self.flock.services)
        if member is None:
            return NOBODY
        self.flock.kill(member)
        return "services killed"

    def _freeze_service(self) -> str:
        member = self._pick(self.flock.services)
        if member is None:
            return NOBODY
        self._freeze(member.pid)
        return "services frozen"

    def _freeze(self, *pids: int) -> None:
        _send(signal.SIGSTOP, *pids)
        until = time.monotonic() + self._chance.uniform(*FROZEN)
        self._later.append((until, partial(_send, signal.SIGCONT, *pids)))

    def _take_down(self, server: Postgres | Redis) -> str:
        away = self._chance.uniform(0, AWAY)
        ready = all(each.ready_for(BREATH) for each in self.flock.services)
        if not server.alive or not ready or time.monotonic() < self._again.get(server.name, 0.0):
            return NOBODY
        server.kill()
        back = time.monotonic() + away
        self._later.append((back, server.start))
        self._again[server.name] = back + BETWEEN
        return f"{server.name} killed"

    def _flush(self) -> str:
        if self.broker is None or not self.broker.alive:
            return NOBODY
        self.broker.flush()
        return "Redis flushed"
