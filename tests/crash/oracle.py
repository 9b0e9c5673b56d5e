"""The judge: the target's log, the tables and the events are compared pairwise, each against each.

Every finding is a sentence; an empty list means that the three tell one story.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from soar.events import Kind
from soar.model import Event, Repeat
from soar.protocol import MOVES, STANDING, State
from soar.store import actions, streams
from soar.store.rows import ActionRow
from soar.store.tables import effects, holds, runs, work
from tests.crash.target import CLASSES, Entry, Target

CLOCKS = timedelta(seconds=0.1)
"""How far the target's clock and the house's may stand apart."""


@dataclass(frozen=True, slots=True)
class Books:
    """All that one cell left behind."""

    rows: Sequence[ActionRow]
    events: Sequence[Event]
    runs: Sequence[Any]
    work: Sequence[Any]
    holds: Sequence[Any]
    calls: Sequence[Entry]
    broken: Sequence[str]

    @classmethod
    def of(cls, engine: sa.Engine, target: Target, cell: str) -> Books:
        with engine.connect() as conn:
            names = list(streams.names(conn))
            held = sa.select(holds.c.action_id, holds.c.ended_at, effects.c.target, effects.c.ended_at.label("gone"))
            return cls(
                rows=actions.find(conn),
                events=[event for name in names for event in streams.read(conn, name)],
                runs=conn.execute(sa.select(runs)).all(),
                work=conn.execute(sa.select(work)).all(),
                holds=conn.execute(held.join(effects, holds.c.effect_id == effects.c.id)).all(),
                calls=target.log(cell, "apply", "revert", "later"),
                broken=[str(problem) for name in names for problem in streams.verify(conn, name)[1]],
            )

    def moves(self, key: str) -> list[Event]:
        """The events of one action's states, in order."""
        return [e for e in self.events if e.kind == Kind.ACTION_MOVED.value and e.data["action"] == key]

    def sent(self, key: str) -> list[Entry]:
        """The calls that reached the target with this key."""
        return [call for call in self.calls if call.key == key and call.op != "later"]

    def changed(self, key: str) -> int:
        """How often calls with this key had an effect."""
        return sum(call.changed for call in self.calls if call.key == key)


def findings(books: Books, *, running: bool = False) -> list[str]:
    """What does not fit together. `running`: workers may still hold work."""
    found = [*books.broken, *_log_against_events(books), *_rows_against_events(books), *_rows_against_log(books)]
    if not running:
        found += _nothing_left_lying(books)
    return found


def _log_against_events(books: Books) -> Iterator[str]:
    """Each call stands behind an intent of its own that was stored before it.

    An intent is an event that ends in `calling`: one that only passes through it was no commit of its own.
    """
    known = {row.id for row in books.rows}
    for key in {call.key for call in books.calls}:
        if key not in known:
            yield f"the target was called with a key that no action has: {key}"
            continue
        intents = [event.recorded_at for event in books.moves(key) if event.data["state"] == State.CALLING.value]
        for number, call in enumerate(books.sent(key)):
            if number >= len(intents):
                yield f"{call.verb}: call {number + 1} has no intent of its own (there are {len(intents)})"
            elif intents[number].timestamp() > call.at + CLOCKS.total_seconds():
                yield f"{call.verb}: call {number + 1} came before its intent was stored"


def _rows_against_events(books: Books) -> Iterator[str]:
    """No state without its event, no event without its state, no move that the table forbids."""
    for row in books.rows:
        states = [
            State(said)
            for event in books.moves(row.id)
            for said in (*event.data.get("through", ()), event.data["state"])
        ]
        if not states or states[-1] is not row.state:
            yield f"{row.verb} is stored as {row.state.value}, but its events end with {states[-1:]}"
        for before, after in pairwise(states):
            if after not in MOVES[before]:
                yield f"{row.verb} went from {before.value} to {after.value}"
    ended = {event.data["run"]: event.data["status"] for event in books.events if event.kind == Kind.RUN_ENDED.value}
    for run in books.runs:
        if run.ended_at is not None and ended.get(run.id) != run.status:
            yield f"the run is {run.status}, but its event says {ended.get(run.id)}"
        if run.ended_at is None and run.id in ended:
            yield "an event says that the run ended, the run does not"
    told = Counter(
        (event.data["run"], event.data["occurrence"], event.data["attempt"])
        for event in books.events
        if event.kind == Kind.STEP_ENDED.value
    )
    for step, times in told.items():
        if times > 1:
            yield f"the step {step[1]} ended {times} times"
    done = {(row.run_id, row.occurrence, row.attempt) for row in books.work if row.state == "done"}
    if done != set(told):
        yield f"work done and steps ended differ: {done ^ set(told)}"


def _rows_against_log(books: Books) -> Iterator[str]:
    """At most one effect for each key, never a second call of what is unsafe, and what stands has a hold."""
    for row in books.rows:
        changed = books.changed(row.id)
        if changed > 1:
            yield f"{row.verb} had {changed} effects under one key"
        if row.repeat_class == Repeat.UNSAFE.value and len(books.sent(row.id)) > 1:
            yield f"{row.verb} is unsafe to repeat and was called {len(books.sent(row.id))} times"
        mine = [hold for hold in books.holds if hold.action_id == row.id and hold.ended_at is None]
        if (row.state in STANDING) != bool(mine):
            yield f"{row.verb} is {row.state.value} with {len(mine)} holds"
        if row.state is State.ACTIVE and not changed and row.verb in CLASSES and not books.holds:
            yield f"{row.verb} is active, but the target never did it"


def _nothing_left_lying(books: Books) -> Iterator[str]:
    for row in books.work:
        if row.state in ("claimed", "ready"):
            yield f"work {row.occurrence} is left {row.state}"
    for run in books.runs:
        stuck = run.status == "running" and all(row.state == "done" for row in books.work if row.run_id == run.id)
        if stuck:
            yield "the run is running, but nothing is left that could end it"
