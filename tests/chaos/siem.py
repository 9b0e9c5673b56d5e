"""Who starts the runs: a caller that asks again with the same Idempotency-Key until it is answered, or gives up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

from tests.chaos.house import SLUG, account, host

CALLERS = 4
GIVES_UP = 0.1
"""The share of callers' requests that are given up after the first failure: nobody knows whether they were taken in."""
ASKS_TWICE = 0.1
"""The share that is asked once more although it was answered."""
PATIENCE = 90.0
"""Seconds after which a request that nobody answers is a finding."""


@dataclass(slots=True)
class Start:
    """One run that was asked for, and what came of it."""

    number: int
    incident: str
    gives_up: bool
    asked_at: float = 0.0
    tries: int = 0
    acknowledged: str = ""
    """The run's id, once a service said that it stands."""


@dataclass(slots=True)
class Siem:
    """Starts runs through any of the doors, spread over `seconds`."""

    doors: Sequence[str]
    key: str
    starts: list[Start]
    seed: int
    seconds: float
    wrong: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        for caller in range(CALLERS):
            thread = threading.Thread(target=self._call, args=(caller,), name=f"siem-{caller}")
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait until every request was answered or given up."""
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        return sum(bool(each.acknowledged) for each in self.starts)

    def _call(self, caller: int) -> None:
        chance = random.Random(f"{self.seed}:{caller}")
        began = time.monotonic()
        mine = self.starts[caller::CALLERS]
        with httpx2.Client(trust_env=False, timeout=5) as client:
            for turn, start in enumerate(mine):
                time.sleep(max(0.0, began + self.seconds * turn / len(mine) - time.monotonic()))
                self._ask(client, chance, start)
                if start.acknowledged and chance.random() < ASKS_TWICE:
                    self._ask(client, chance, start)

    def _ask(self, client: httpx2.Client, chance: random.Random, start: Start) -> None:
        ends = time.monotonic() + PATIENCE
        start.asked_at = start.asked_at or time.time()
        while time.monotonic() < ends:
            answer = self._once(client, chance.choice(self.doors), start)
            if answer is not None and answer.status_code == 201:
                run = str(answer.json()["id"])
                if start.acknowledged not in ("", run):
                    self.wrong.append(f"the start of {start.number} was answered {start.acknowledged}, then {run}")
                start.acknowledged = run
                return
            if answer is not None and (answer.status_code != 503 or "retry-after" not in answer.headers):
                self.wrong.append(f"the start of {start.number} was answered {answer.status_code}: {answer.text[:300]}")
            if start.gives_up:
                return
            time.sleep(chance.uniform(0.05, 0.3))
        self.wrong.append(f"nobody answered the start of {start.number} within {PATIENCE:.0f} s")

    def _once(self, client: httpx2.Client, door: str, start: Start) -> httpx2.Response | None:
        start.tries += 1
        inputs = {"host": host(start.number), "account": account(start.number)}
        body = {"playbook": SLUG, "reason": f"start {start.number}", "inputs": inputs}
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": f"start-{start.number}"}
        try:
            return client.post(f"{door}/incidents/{start.incident}/runs", json=body, headers=headers)
        except httpx2.TransportError:
            return None


def asked(incidents: Sequence[str], seed: int) -> list[Start]:
    """The runs to be started, one for each incident given."""
    chance = random.Random(seed)
    return [Start(number, incident, chance.random() < GIVES_UP) for number, incident in enumerate(incidents)]
