"""The judge: what was asked for, the target's log, the tables and the events, each against each.

It stands on the judge of the crash drills, and adds what only a whole house can show: that each
acknowledged run is there, that none is there twice, and that each came to an end or waits for a person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import sqlalchemy as sa

from soar.events import Kind
from soar.model import Event, Repeat
from soar.protocol import State
from soar.store.tables import tasks
from tests.chaos.house import CELL, STEPS, host
from tests.chaos.siem import Start
from tests.crash import oracle
from tests.crash.target import Entry, Target

CHANGES = tuple(verb for _, verb, _, _ in STEPS if verb != "verify_clean")


@dataclass(frozen=True)
class Ledger(oracle.Books):
    """All that a house left behind; look-ups by key are fast, since there are thousands."""

    tasks: Sequence[Any] = field(default_factory=tuple)

    @classmethod
    def of(cls, engine: sa.Engine, target: Target, cell: str = CELL) -> Self:
        """Read everything: nobody may be writing any more."""
        books = oracle.Books.of(engine, target, cell)
        with engine.connect() as conn:
            asked = conn.execute(sa.select(tasks)).all()
        return cls(
            rows=books.rows, events=books.events, runs=books.runs, work=books.work, holds=books.holds,
            calls=books.calls, broken=books.broken, tasks=asked,
        )  # fmt: skip

    def moves(self, key: str) -> list[Event]:
        return self._moves.get(key, [])

    def sent(self, key: str) -> list[Entry]:
        return [call for call in self._calls.get(key, []) if call.op != "later"]

    def changed(self, key: str) -> int:
        return sum(call.changed for call in self._calls.get(key, []))

    @cached_property
    def _moves(self) -> Mapping[str, list[Event]]:
        found: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.kind == Kind.ACTION_MOVED.value:
                found[event.data["action"]].append(event)
        return found

    @cached_property
    def _calls(self) -> Mapping[str, list[Entry]]:
        found: defaultdict[str, list[Entry]] = defaultdict(list)
        for call in self.calls:
            found[call.key].append(call)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. `lost` and `doubled` are sentences too; `in_doubt` counts what waits for a person."""

    lost: Sequence[str]
    doubled: Sequence[str]
    other: Sequence[str]
    in_doubt: int
    statuses: Mapping[str, int]

    @property
    def wrong(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.other]


def judge(books: Ledger, starts: Sequence[Start]) -> Verdict:
    """Compare everything with everything."""
    return Verdict(
        lost=[*_lost_starts(books, starts), *_lost_runs(books), *_lost_effects(books)],
        doubled=[*_doubled_starts(books, starts), *_doubled_calls(books)],
        other=[*_unasked(books), *oracle.findings(books)],
        in_doubt=sum(row.state is State.IN_DOUBT for row in books.rows),
        statuses=Counter(str(run.status) for run in books.runs),
    )


def _by_host(books: Ledger) -> Mapping[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for run in books.runs:
        found[run.inputs["host"]].append(run)
    return found


def _lost_starts(books: Ledger, starts: Sequence[Start]) -> Iterator[str]:
    """What was acknowledged must be there, as the run that was named."""
    there = _by_host(books)
    for start in starts:
        if start.acknowledged and start.acknowledged not in [run.id for run in there.get(host(start.number), [])]:
            yield f"start {start.number} was acknowledged as {start.acknowledged}, which is not there"


def _doubled_starts(books: Ledger, starts: Sequence[Start]) -> Iterator[str]:
    """A start is found at most once, however often it was asked for; nothing is found that nobody asked for."""
    known = {host(start.number) for start in starts if start.tries}
    for name, found in _by_host(books).items():
        if len(found) > 1:
            yield f"{name} has {len(found)} runs"
        if name not in known:
            yield f"{name} has a run that nobody asked for"


def _lost_runs(books: Ledger) -> Iterator[str]:
    """Each run has ended, or a person has an open question about an action of it that is in doubt."""
    asked = {task.action_id for task in books.tasks if task.status == "open" and task.kind == "in_doubt"}
    waiting = {row.run_id for row in books.rows if row.state is State.IN_DOUBT and row.id in asked}
    for run in books.runs:
        if run.ended_at is None and run.id not in waiting:
            yield f"the run {run.id} is {run.status}: it has not ended, and nobody is asked"
        if run.ended_at is not None and run.status != "succeeded":
            yield f"the run {run.id} is {run.status}: {run.reason}"


def _lost_effects(books: Ledger) -> Iterator[str]:
    """What succeeded has each of its effects at the target."""
    there = {(call.verb, call.target) for call in books.calls if call.changed}
    done = {run.id for run in books.runs if run.status == "succeeded"}
    counts = Counter(row.run_id for row in books.rows)
    for run_id in done:
        if counts[run_id] != len(STEPS):
            yield f"the run {run_id} succeeded with {counts[run_id]} of {len(STEPS)} actions"
    for row in books.rows:
        if row.run_id in done and row.verb in CHANGES and (row.verb, str(row.target)) not in there:
            yield f"{row.verb} on {row.target} belongs to a run that succeeded, and the target never did it"


def _doubled_calls(books: Ledger) -> Iterator[str]:
    """Whatever keys they carried: each target meets each effect once, and what is unsafe is called once."""
    changed = Counter((call.verb, call.target) for call in books.calls if call.changed)
    for (verb, target), times in changed.items():
        if times > 1:
            yield f"{verb} on {target} had {times} effects"
    unsafe = {row.verb for row in books.rows if row.repeat_class == Repeat.UNSAFE.value}
    called = Counter((call.verb, call.target) for call in books.calls if call.verb in unsafe)
    for (verb, target), times in called.items():
        if times > 1:
            yield f"{verb} on {target} is unsafe to repeat and was called {times} times"


def _unasked(books: Ledger) -> Iterator[str]:
    """Only what is unsafe to repeat may stay in doubt, and then a person is asked about it, once."""
    asked = Counter(task.action_id for task in books.tasks if task.status == "open" and task.kind == "in_doubt")
    for row in books.rows:
        if row.state is State.IN_DOUBT and asked[row.id] != 1:
            yield f"{row.verb} on {row.target} is in doubt with {asked[row.id]} open questions"
        if row.state is State.IN_DOUBT and row.repeat_class != Repeat.UNSAFE.value:
            yield f"{row.verb} on {row.target} is in doubt, although the target could have been asked"
