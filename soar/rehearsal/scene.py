"""Where a case is played: what will happen, in simulated seconds, and what was performed so far.

Nothing sleeps. What will happen is kept in a heap by its second; what is to happen at the same second
happens in the order in which it came up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from soar.engine import conductor
from soar.engine.run_state import UNDER_WAY, RunState
from soar.engine.signals import Abandon, Arm, Decision, Finish, Perform, Result, RunEvent, StepEnded, TimerFired
from soar.playbook.durations import Seconds
from soar.playbook.model import Playbook
from soar.rehearsal.acting import Act
from soar.rehearsal.model import Given, Outcome
from soar.rehearsal.standing import Register

MOST_EVENTS = 20_000
"""No rehearsal is longer: a playbook that goes in circles ends here."""


@dataclass(slots=True)
class Performance:
    """One time that a step was performed. `calls` are (place in the run, `verb target`)."""

    name: str
    todo: Perform
    order: int
    at: Seconds
    calls: list[tuple[int, str]] = field(default_factory=list)
    sent: list[Act] = field(default_factory=list)
    waits: str = ""


class Scene:
    """One run on its way. Who plays it says in `perform` what each step comes to."""

    def __init__(self, playbook: Playbook, names: Mapping[str, str], given: Given) -> None:
        self.playbook = playbook
        self.names = names
        self.given = given
        self.now: Seconds = 0
        self.state = RunState()
        self.performed: list[Performance] = []
        self.open: dict[tuple[str, int], Performance] = {}
        self.register = Register()
        self.times: dict[str, int] = {}
        """How often each step was performed."""
        self._heap: list[tuple[Seconds, int, Callable[[], None]]] = []
        self._count = 0

    def perform(self, performance: Performance, outcome: Outcome | None) -> None:
        """Begin a performance; whatever it comes to must follow from the heap."""
        raise NotImplementedError

    def to_the_end(self) -> None:
        """Play until the run has ended, or nothing more happens."""
        self._take(conductor.start(self.playbook, self.given.inputs, self.given.facts))
        events = 0
        while self._heap and self.state.status in UNDER_WAY and events < MOST_EVENTS:
            at, _, what = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            what()
            events += 1
        for each in self.open.values():
            self._doubt(each)

    def number(self) -> int:
        """The next number: what has a greater one came later."""
        self._count += 1
        return self._count

    def peek(self, name: str) -> Outcome | None:
        """The outcome of the next time that the step is performed; None where the rehearsal says nothing of it."""
        outcomes = self.given.outcomes.get(name)
        return outcomes[min(self.times.get(name, 0), len(outcomes) - 1)] if outcomes else None

    def after(self, performance: Performance, seconds: Seconds, what: Callable[[], None]) -> None:
        """Go on with a performance later, unless it is called off until then."""

        def go_on() -> None:
            if self.open.get((performance.todo.occurrence, performance.todo.attempt)) is performance:
                what()

        self._later(seconds, go_on)

    def ends(
        self, performance: Performance, result: Result, outputs: Mapping[str, Any] | None = None, reason: str = ""
    ) -> None:
        """Tell the conductor how a performance came out."""
        todo = performance.todo
        performance.sent = []
        del self.open[todo.occurrence, todo.attempt]
        self._feed(
            StepEnded(
                occurrence=todo.occurrence, attempt=todo.attempt, result=result, outputs=outputs or {}, reason=reason
            )
        )  # fmt: skip

    def _later(self, seconds: Seconds, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, self.number(), what))

    def _feed(self, event: RunEvent) -> None:
        self._take(conductor.feed(self.playbook, self.state, event, self.given.facts))

    def _take(self, decision: Decision) -> None:
        self.state = decision.state
        for todo in decision.todo:
            match todo:
                case Perform():
                    self._begin(todo)
                case Arm():
                    fired = TimerFired(occurrence=todo.occurrence, attempt=todo.attempt, kind=todo.kind)
                    self._later(todo.seconds, partial(self._feed, fired))
                case Abandon():
                    gone = self.open.pop((todo.occurrence, todo.attempt), None)
                    if gone is not None:
                        self._doubt(gone)
                case Finish():
                    pass  # the state says so

    def _begin(self, todo: Perform) -> None:
        name = self.names[todo.step_id]
        performance = Performance(name, todo, self.number(), self.now)
        self.performed.append(performance)
        self.open[todo.occurrence, todo.attempt] = performance
        outcome = self.peek(name)
        self.times[name] = self.times.get(name, 0) + 1
        self.perform(performance, outcome)

    def _doubt(self, gone: Performance) -> None:
        """What was sent and never answered may have happened."""
        for act in gone.sent:
            self.register.place(act.planned, gone.name, self.now, doubtful=True)
