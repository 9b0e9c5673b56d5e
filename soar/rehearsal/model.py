"""Rehearsals as values: what is given, how each step would come out, what is expected. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from soar.model import Observable
from soar.playbook.durations import Seconds
from soar.playbook.model import Playbook

RESULTS = ("ok", "partial", "failed", "silent", "refused", "satisfied")
"""How a step comes out. `silent`: nothing answers, and only a timeout ends it. `refused`: a guard says no.
`satisfied`: it was so already, nobody is called, and it is not ours to take back."""
TARGET_RESULTS = ("ok", "failed", "refused", "satisfied", "left_out")
"""How one target of a step comes out. `left_out`: nothing that is connected can block it."""
DECISIONS = ("granted", "denied", "silent")
STATUSES = ("succeeded", "failed", "waiting")
"""How a rehearsal ends. `waiting`: nothing more happens, and the run has not ended."""
STEP_STATUSES = ("succeeded", "partial", "failed", "skipped", "cancelled", "waiting", "not reached")
ENDS = ("stands", "overdue", "lifted", "in_doubt", "recovered", "mistaken", "superseded", "rollback")
"""What has become of a containment: it stands (past its date: overdue), its lease has ended (lifted), nobody knows
whether it happened (in_doubt), or it was taken back for this reason."""

Result = Literal["ok", "partial", "failed", "silent", "refused", "satisfied", "left_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOutcome:
    """How one target of a step comes out."""

    result: Result = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """How an approval that a step asks for is decided, and how long after."""

    decision: Literal["granted", "denied", "silent"] = "granted"
    after: Seconds = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one performance of a step comes out.

    `takes` is from the call (or question) to the answer; None is at once, of `watch` its whole time. `targets`
    come out otherwise than the rest, by id or value. `evidence` is how long the evidence guard keeps the step
    waiting. `answer` is a person's, to a manual step or to a condition that cannot be read.
    """

    result: Result = "ok"
    reason: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    takes: Seconds | None = None
    targets: Mapping[str, TargetOutcome] = field(default_factory=dict)
    approval: Vote = field(default_factory=Vote)
    evidence: Seconds = 0
    answer: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a case begins with.

    `facts` are `alert`, `incident` and `scope` as conditions read them, `inputs` the run's first variables.
    `outcomes` are by step name, one for each time that the step is performed, the last one for all further
    times. `own` names those that this case itself gives: each must be used.
    """

    facts: Mapping[str, Any]
    observables: tuple[Observable, ...]
    inputs: Mapping[str, Any]
    outcomes: Mapping[str, tuple[Outcome, ...]]
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """A step that is performed. `calls` are its calls as `verb target` in their order; None: whatever they are."""

    step: str
    calls: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Branches that run at the same time; nothing is said of the order between them."""

    branches: tuple[tuple[Entry | SideBySide, ...], ...]


Way = tuple[Entry | SideBySide, ...]
"""Steps in the order in which they are performed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is expected of a case; None: nothing is said of it.

    `before` are chains of steps, verbs or `verb target`: each is over with before the next one begins.
    `never` are the same, and do not happen at all. `approvals` are the steps at which one is asked for, in
    order. `values` are by dotted path. `contained` tells of everything that was contained what became of it.
    """

    status: str | None = None
    reason: str | None = None
    steps: Way | None = None
    before: tuple[tuple[str, ...], ...] = ()
    never: tuple[str, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[str, ...] | None = None
    waits: tuple[str, ...] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    contained: Mapping[str, str] | None = None
    at_least: Seconds | None = None
    at_most: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One story: what is given, what is expected."""

    name: str
    line: int
    given: Given
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A file of cases for one playbook. `names` are its steps' names by CACAO id."""

    playbook: Playbook
    names: Mapping[str, str]
    cases: tuple[Case, ...]
