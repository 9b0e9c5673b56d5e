"""Runs and dry runs on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from api.views.base import In, Line, Out, Time, Words

Place = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00-\x1f]*$")]
"""An occurrence of a step, as a run shows it."""


class RunLine(Out):
    """A run in a list."""

    id: str
    playbook: str
    digest: str
    status: str
    why: str
    started_by: str
    automatic: bool
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    reason: str


class Proposal(Out):
    """A playbook whose trigger fits and that waits for a person to start it."""

    playbook: str
    digest: str
    why: str
    at: Time


class StepRow(Out):
    """How far one step of a run is. `occurrence` tells the turns of a loop apart.

    `held`: a paused run performs it when it is resumed. `broken`: a failed run can be tried again here.
    """

    step: str
    verb: str
    occurrence: str
    status: str
    attempt: int
    outputs: dict[str, Any]
    reason: str
    held: bool
    broken: bool


class RunAction(Out):
    """An action of a run, in short."""

    id: str
    step: str
    verb: str
    target: str
    target_id: str
    target_name: str
    adapter: str
    state: str
    summary: str


class Run(RunLine):
    """One run with the state of each step and its actions."""

    incident_id: str
    inputs: dict[str, Any]
    steps: list[StepRow]
    actions: list[RunAction]


class Plan(In):
    """What to plan: a playbook of the server by its short name, or one that it need not have, as CACAO 2.0."""

    playbook: Line | None = None
    document: dict[str, Any] | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.playbook is None) == (self.document is None):
            raise ValueError("name a playbook, or send its document")
        return self


class Start(In):
    """What to start, and why."""

    playbook: Line
    inputs: dict[str, Any] = Field(default_factory=dict)
    reason: Words


class Ask(In):
    """Why the run must end, wait, or go on."""

    reason: Words


class Retry(Ask):
    """Why the run is tried again, and where; without a place, wherever it broke."""

    occurrence: Place | None = None


class Skip(Ask):
    """Which step is passed over, and why."""

    occurrence: Place


class Standing(Out):
    """What stands, or may stand, because of the run. `decide` says what a person must still decide about it."""

    id: str
    verb: str
    target: str
    adapter: str
    state: str
    since: Time
    verified_at: Time | None
    expires_at: Time | None
    disposition: str | None
    decide: str


class Cancelled(Run):
    """The run that was ended, and what it leaves standing."""

    stands: list[Standing]


class PlanView(Out):
    """The dry run: every step with its actions as they would be, or what they wait to know."""

    playbook: str
    digest: str
    urgency: str
    steps: list[dict[str, Any]]
    on_exception: list[dict[str, Any]]
