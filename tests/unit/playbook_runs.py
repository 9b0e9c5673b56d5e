"""Random playbooks, and a driver that plays every part of a run but the conductor's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from soar.engine.conductor import (
    Abandon,
    Arm,
    CancelRequested,
    Decision,
    Finish,
    Perform,
    StepEnded,
    TimerFired,
    feed,
    skippable,
    start,
)
from soar.engine.run_state import UNDER_WAY, RunState
from soar.engine.signals import PauseRequested, Result, ResumeRequested, RetryRequested, RunEvent, SkipRequested
from soar.engine.turn import broken
from soar.playbook.model import IfStep, Playbook, SwitchStep, WhileStep
from soar.playbook.yaml.yaml_form import load

MOST_EVENTS = 4_000
SAY = "do: notify, with: {team: on-call, text: Hello}"
BAD: tuple[Result, ...] = ("partial", "failed")
APPROVAL = {"any_of": ["responder"], "within": "10m", "on_timeout": "escalate"}


class Author:
    """Writes a random playbook as the nested data that YAML holds."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.count = 0
        self.handlers: dict[str, list[Any]] = {"stop": [notify()]}
        self.stop_used = False

    def playbook(self) -> dict[str, Any]:
        steps = self.sequence(depth=3)
        book: dict[str, Any] = {
            "id": "random", "name": "Random", "steps": steps, "handlers": self.handlers,
            "variables": {"hosts": {"type": "list", "default": ["h1", "h2"]}},
        }  # fmt: skip
        if self.random.random() < 0.3:
            book["on_exception"], self.stop_used = "stop", True
        if not self.stop_used:
            del self.handlers["stop"]
        return book

    def sequence(self, depth: int) -> list[dict[str, Any]]:
        steps = [self.step(depth) for _ in range(self.random.randint(1, 6 if depth == 3 else 3))]
        for index, step in enumerate(steps):
            self.route(step, [each["id"] for each in steps[index + 1 :]])
        return steps

    def route(self, step: dict[str, Any], later: list[str]) -> None:
        """Perhaps say what happens when the step fails."""
        choice = self.random.random()
        if choice < 0.15:
            step["continue_on_failure"] = True
        elif choice < 0.3:
            step["on_failure"], self.stop_used = "stop", True
        elif choice < 0.45 and later:
            name = self.name("handler")
            self.handlers[name] = [notify(), {"continue": self.random.choice(later)}]
            step["on_failure"] = name

    def name(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count}"

    def step(self, depth: int) -> dict[str, Any]:
        forms: list[Callable[[int], dict[str, Any]]] = [self.act, self.act, self.ask]
        if depth:
            forms += [self.parallel, self.condition, self.loop, self.switch]
        step = {"id": self.name("s"), **self.random.choice(forms)(depth)}
        if self.random.random() < 0.15:
            step["delay"] = "5s"
        if self.random.random() < 0.2:
            step["timeout"] = "10m"
        return step

    def act(self, _: int) -> dict[str, Any]:
        step: dict[str, Any] = notify()
        if self.random.random() < 0.3:
            step = {
                "do": "isolate_host", "for_each": "$hosts", "as": "host", "with": {"host": "$host"}, "review": "1d"
            }  # fmt: skip
        if self.random.random() < 0.3:
            step["retry"] = {"max": self.random.randint(2, 3), "backoff": "1s"}
        if self.random.random() < 0.2:
            step["partial"] = "ok"
        return step

    def ask(self, _: int) -> dict[str, Any]:
        return {"manual": "Is it back?", "outputs": {"back": "bool"}}

    def parallel(self, depth: int) -> dict[str, Any]:
        step: dict[str, Any] = {"parallel": [self.sequence(depth - 1) for _ in range(self.random.randint(2, 3))]}
        if self.random.random() < 0.3:
            step["together"] = True
        if self.random.random() < 0.2:
            step["approval"] = APPROVAL
        return step

    def condition(self, depth: int) -> dict[str, Any]:
        step = {"if": f"alert:flag{self.random.randint(1, 3)} = true", "then": self.sequence(depth - 1)}
        return step | ({"else": self.sequence(depth - 1)} if self.random.random() < 0.5 else {})

    def loop(self, depth: int) -> dict[str, Any]:
        when = f"alert:flag{self.random.randint(1, 3)} = true"
        return {"while": when, "max": self.random.randint(1, 3), "steps": self.sequence(depth - 1)}

    def switch(self, depth: int) -> dict[str, Any]:
        step = {"switch": "$hosts", "cases": {"h1": self.sequence(depth - 1), "no/thing": self.sequence(depth - 1)}}
        return step | ({"default": self.sequence(depth - 1)} if self.random.random() < 0.5 else {})


def notify() -> dict[str, Any]:
    return {"do": "notify", "with": {"team": "on-call", "text": "A word"}}


def unreadable(playbook: Playbook, random: Random) -> Playbook:
    """The playbook with some conditions in free text, as foreign playbooks have them."""
    workflow = dict(playbook.workflow)
    for step_id, step in workflow.items():
        if isinstance(step, IfStep | WhileStep) and random.random() < 0.3:
            workflow[step_id] = replace(step, condition="Operator input to proceed")
        elif isinstance(step, SwitchStep) and random.random() < 0.3:
            workflow[step_id] = replace(step, switch="Which one?")
    return replace(playbook, workflow=workflow)


def written(random: Random) -> Playbook:
    """A random playbook, read from its text."""
    return unreadable(load(json.dumps(Author(random).playbook())), random)


randoms = st.integers(0, 2**48).map(Random)
"""Seeds, not hypothesis' own randoms: those are biased towards playbooks too small to go wrong."""


@dataclass
class Run:
    """A run and everything around it. `answer` says how what is performed ends; fickle facts keep changing."""

    playbook: Playbook
    random: Random
    answer: Callable[[Perform], StepEnded]
    facts: dict[str, Any] = field(default_factory=dict)
    state: RunState = field(default_factory=RunState)
    performing: list[Perform] = field(default_factory=list)
    timers: list[Arm] = field(default_factory=list)
    performed: list[Perform] = field(default_factory=list)
    finished: list[Finish] = field(default_factory=list)
    past: list[Any] = field(default_factory=list)
    events: int = 0
    fickle: bool = False
    after_each: Callable[[Run, Any, Decision], None] = lambda run, event, decision: None

    def begin(self) -> Run:
        self.take(None, start(self.playbook, {"hosts": "h1"}, self.facts))
        return self

    def take(self, event: Any, decision: Decision) -> None:
        self.state = decision.state
        for todo in decision.todo:
            match todo:
                case Perform():
                    self.performing.append(todo)
                    self.performed.append(todo)
                case Arm():
                    self.timers.append(todo)
                case Abandon():
                    gone = (todo.occurrence, todo.attempt)
                    assert gone in [(each.occurrence, each.attempt) for each in self.performing]
                    self.performing = [each for each in self.performing if (each.occurrence, each.attempt) != gone]
                case Finish():
                    self.finished.append(todo)
        self.after_each(self, event, decision)

    def feed(self, event: Any) -> Decision:
        self.events += 1
        if self.fickle:
            self.facts = flags(self.random)
        decision = feed(self.playbook, self.state, event, self.facts)
        self.take(event, decision)
        return decision

    def next_event(self, *, timeouts: bool = True) -> StepEnded | TimerFired | None:
        """One of the things that may happen now; None when nothing can."""
        late = timeouts and self.random.random() < 0.2
        timers = [each for each in self.timers if each.kind != "timeout" or late]
        if not self.performing and not timers:
            return None if not timeouts or late or not self.timers else self.next_event()
        index = self.random.randrange(len(self.performing) + len(timers))
        if index < len(self.performing):
            return self.answer(self.performing.pop(index))
        timer = timers[index - len(self.performing)]
        self.timers.remove(timer)
        return TimerFired(occurrence=timer.occurrence, attempt=timer.attempt, kind=timer.kind)

    def to_the_end(self, *, timeouts: bool = True) -> Run:
        while not self.finished:
            event = self.next_event(timeouts=timeouts)
            assert event is not None, "nothing can happen any more, and the run has not ended"
            self.feed(event)
            assert self.events < MOST_EVENTS
        return self

    def cancel(self) -> Decision:
        return self.feed(CancelRequested(reason="enough"))

    def meddle(self) -> None:
        """A person does something to the run; perhaps nothing of the kind is possible now."""
        some = self.random.choice(broken(self.state) or skippable(self.playbook, self.state) or [""])
        choices: list[RunEvent] = [
            PauseRequested(), PauseRequested(), ResumeRequested(), RetryRequested(),
            RetryRequested(occurrence=some), SkipRequested(occurrence=some, reason="not needed"),
        ]  # fmt: skip
        self.feed(self.random.choice(choices))

    def to_the_end_of_patience(self, *, meddling: float, patience: int) -> Run:
        """To an end at which nobody tries again, with persons that do things to the run on its way."""
        while self.events < MOST_EVENTS:
            if patience and (self.random.random() < meddling or self.state.status == "failed"):
                patience -= 1
                self.meddle()
                continue
            event = None if self.state.status not in UNDER_WAY else self.next_event()
            if event is not None:
                self.feed(event)
            elif self.state.status == "paused":
                self.feed(ResumeRequested())
            else:
                return self
        raise AssertionError("the run does not end")


def ok(todo: Perform) -> StepEnded:
    """All goes well, and who is asked says yes."""
    outputs = {"decide": {"branch": True}, "manual": {"back": True}}.get(todo.kind, {})
    return StepEnded(occurrence=todo.occurrence, attempt=todo.attempt, result="ok", outputs=outputs)


def anything(random: Random) -> Callable[[Perform], StepEnded]:
    """Ends of all kinds; how often they are bad differs from run to run, so that some get far."""
    trouble = random.choice([0.0, 0.05, 0.15, 0.4])

    def answer(todo: Perform) -> StepEnded:
        result: Result = random.choice(BAD) if random.random() < trouble else "ok"
        branch = random.choice([True, True, False, "h1", "nonsense", None])
        return StepEnded(
            occurrence=todo.occurrence, attempt=todo.attempt, result=result, outputs={"branch": branch}, reason="why"
        )

    return answer


def flags(random: Random) -> dict[str, Any]:
    return {"alert": {f"flag{number}": random.random() < 0.6 for number in (1, 2, 3)}}


class Told:
    """A run that the test leads by hand."""

    def __init__(self, playbook: Playbook, facts: Mapping[str, Any] | None = None, **inputs: Any) -> None:
        self.playbook = playbook
        self.facts = facts or {}
        self.decision = start(playbook, inputs, self.facts)

    @property
    def state(self) -> RunState:
        return self.decision.state

    @property
    def todo(self) -> list[str]:
        """What is to be done, in words."""
        said = []
        for each in self.decision.todo:
            match each:
                case Perform():
                    said.append(f"{each.kind} {each.occurrence} {each.attempt}")
                case Arm():
                    said.append(f"arm {each.kind} {each.occurrence} {each.attempt} in {each.seconds}")
                case Abandon():
                    said.append(f"abandon {each.occurrence} {each.attempt}")
                case Finish():
                    said.append(f"{each.status}: {each.reason}" if each.reason else each.status)
        return said

    def ends(
        self, occurrence: str, result: Any = "ok", *, attempt: int = 1, reason: str = "", **outputs: Any
    ) -> list[str]:
        return self.feed(
            StepEnded(occurrence=occurrence, attempt=attempt, result=result, outputs=outputs, reason=reason)
        )

    def fires(self, kind: Any, occurrence: str, attempt: int = 1) -> list[str]:
        return self.feed(TimerFired(occurrence=occurrence, attempt=attempt, kind=kind))

    def paused(self) -> list[str]:
        return self.feed(PauseRequested())

    def resumed(self) -> list[str]:
        return self.feed(ResumeRequested())

    def tried_again(self, occurrence: str = "") -> list[str]:
        return self.feed(RetryRequested(occurrence=occurrence))

    def passed_over(self, occurrence: str, reason: str = "not needed") -> list[str]:
        return self.feed(SkipRequested(occurrence=occurrence, reason=reason))

    def feed(self, event: Any) -> list[str]:
        self.decision = feed(self.playbook, self.state, event, self.facts)
        return self.todo


def book(steps: str, more: str = "") -> Playbook:
    """A playbook with these steps, one a line."""
    lines = "\n".join(f"  {line}" for line in steps.strip("\n").splitlines())
    return load(f"id: story\nname: Story\nsteps:\n{lines}\n{more}")
