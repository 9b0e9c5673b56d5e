"""What the conductor is told (events) and what it asks for (todos). Both are plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from soar.engine.run_state import RunState, RunStatus
from soar.playbook.durations import Seconds

Result = Literal["ok", "partial", "failed"]
TimerKind = Literal["delay", "timeout", "retry"]
PerformKind = Literal["action", "manual", "undo", "playbook", "prepare", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """What was to be performed has ended. A decision's answer is outputs["branch"]: True, False or a case."""

    occurrence: str
    attempt: int
    result: Result
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer that was armed came due."""

    occurrence: str
    attempt: int
    kind: TimerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Somebody ends the run."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """Somebody holds the run: it takes in what happens, and asks for nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    """Somebody lets a paused run go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested:
    """Somebody lets a failed run go on where it broke: at this occurrence, or with "" wherever it did."""

    occurrence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRequested:
    """Somebody passes over an occurrence: its branch goes on as if it had succeeded, without outputs."""

    occurrence: str
    reason: str = ""


RunEvent = StepEnded | TimerFired | CancelRequested | PauseRequested | ResumeRequested | RetryRequested | SkipRequested


@dataclass(frozen=True, slots=True, kw_only=True)
class Perform:
    """Do this now; answer with StepEnded of the same occurrence and attempt.

    `prepare` is for a group that acts together: bring all its members (`conductor.members`) before
    guards and approvals. `decide` asks a person which way a condition goes that cannot be read.
    `playbook` runs another playbook; its variables at the end are the outputs.
    """

    occurrence: str
    branch: str
    step_id: str
    attempt: int
    kind: PerformKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Send TimerFired after so many seconds. A timer is never disarmed: a late one changes nothing."""

    occurrence: str
    attempt: int
    kind: TimerKind
    seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """What is being performed there is not waited for any more, and `why`; its answer would be stale."""

    occurrence: str
    attempt: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The run has ended."""

    status: RunStatus
    reason: str = ""


Todo = Perform | Arm | Abandon | Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The run's new state, and what is to be done now."""

    state: RunState
    todo: tuple[Todo, ...] = ()
