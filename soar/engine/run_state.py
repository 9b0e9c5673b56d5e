"""How far a run is, as plain data: it is stored after each event and read back before the next.

An occurrence is one visit of a step. Its id is unique in a run and can be read: the branch it stands
in, then the step (`contain/0/isolate`, `loop/2/body`), with `#n` behind it from the second visit on.
A branch's id is that of the occurrence that opened it and the branch's name; the main branch is "".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from soar.errors import Invalid, Problem
from soar.playbook.durations import Seconds
from soar.playbook.plain import from_plain, to_plain

RunStatus = Literal["running", "paused", "succeeded", "failed", "cancelled"]
StepStatus = Literal[
    "pending", "delayed", "running", "waiting_retry", "succeeded", "partial", "failed", "skipped", "cancelled"
]

OPEN: frozenset[str] = frozenset({"pending", "delayed", "running", "waiting_retry"})
"""Statuses of a step that has not ended."""
UNDER_WAY: frozenset[str] = frozenset({"running", "paused"})
"""Statuses of a run that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One visit of a step.

    `attempt` counts performances; of a `while` it counts its turns. `life` counts how often an opener
    was opened anew after it had failed: a timeout of an earlier life says nothing. `asked` is "prepare"
    or "decide" while an opener waits for that answer. `outputs` and `reason` are those of its end.
    `variables` are the step's own, as they stand now.
    """

    id: str
    step_id: str
    branch: str
    status: StepStatus = "pending"
    attempt: int = 1
    life: int = 1
    asked: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.status in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A sequence of steps on its way. `opener` is the occurrence that waits for its end.

    `broken_at` is the occurrence whose failure, or cancelling, the branch has not got over: there it
    is taken up when the run is tried again. What a handler did about it does not change the place.
    """

    id: str
    opener: str = ""
    status: RunStatus = "running"
    reason: str = ""
    broken_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a paused run keeps back: a performance, or the timeout that begins with it (`seconds`).

    `kind` is "timeout" or one of soar.engine.signals.PerformKind.
    """

    occurrence: str
    attempt: int
    kind: str
    seconds: Seconds = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A whole run. `steps` and `branches` stand in the order in which they came to be.

    `excepting` says that the playbook's last resort (`workflow_exception`) was entered. `held` is what
    a paused run will do when it is resumed, in this order.
    """

    status: RunStatus = "running"
    reason: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    branches: Mapping[str, Branch] = field(default_factory=dict)
    steps: Mapping[str, Occurrence] = field(default_factory=dict)
    excepting: bool = False
    held: tuple[Held, ...] = ()

    def as_plain(self) -> dict[str, Any]:
        """JSON-able data. Lists keep the order that a database may not keep in objects."""
        return {
            "status": self.status,
            "reason": self.reason,
            "variables": to_plain(self.variables),
            "branches": [to_plain(branch) for branch in self.branches.values()],
            "steps": [to_plain(step) for step in self.steps.values()],
            "excepting": self.excepting,
            "held": [to_plain(each) for each in self.held],
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> RunState:
        """The reverse of as_plain. Raises Invalid for data that it did not write."""
        problems: list[Problem] = []
        stored = from_plain(_Stored, data, "", problems)
        if stored is None:
            raise Invalid(problems=problems)
        return cls(
            status=stored.status,
            reason=stored.reason,
            variables=stored.variables,
            branches={branch.id: branch for branch in stored.branches},
            steps={step.id: step for step in stored.steps},
            excepting=stored.excepting,
            held=stored.held,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The plain form of a run's state."""

    status: RunStatus
    reason: str
    variables: Mapping[str, Any]
    branches: tuple[Branch, ...]
    steps: tuple[Occurrence, ...]
    excepting: bool
    held: tuple[Held, ...] = ()
