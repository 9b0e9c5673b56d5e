"""Actions, the register and approvals on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.views.base import In, Out, Time, Words


class Hold(Out):
    """Why an effect stands: an incident, its owner, and when it must be looked at again."""

    id: str
    incident_id: str
    action_id: str
    owner: str
    reason: str
    placed_at: Time
    review_at: Time | None
    overdue: bool
    ended_at: Time | None
    end_reason: str | None


class ActionLine(Out):
    """An action in a list. `target` is `kind:id`, `target_id` the id alone."""

    id: str
    incident_id: str
    run_id: str | None
    step: str
    verb: str
    target: str
    target_id: str
    target_name: str
    adapter: str
    state: str
    summary: str
    outputs: dict[str, Any]
    undo_of: str | None
    renews: str | None
    created_at: Time
    called_at: Time | None
    verified_at: Time | None
    ended_at: Time | None


class Action(ActionLine):
    """Everything about one action. `undo` is the verb that takes it back, empty where there is none."""

    params: dict[str, Any]
    digest: str
    generation: int
    repeat_class: str
    caller: str
    approval_id: str | None
    effect_id: str | None
    lease_seconds: int
    review_seconds: int
    prior: dict[str, Any]
    handle: dict[str, Any]
    guards: list[dict[str, Any]]
    undo: str
    undo_reason: str
    undone_by: list[str]
    holds: list[Hold]


class Effect(Out):
    """What is true at a target because of us, and what keeps it so.

    `state`: active, overdue, drifted, in_doubt, not_effective, ... `summary` is what is known, `answers`
    what a person may say to it. `unverified_since`: last seen to be true then, and not to be had since;
    `trouble` says why. `seen` is what the target itself told at the latest look.
    """

    id: str
    adapter: str
    verb: str
    target: str
    state: str
    since: Time
    verified_at: Time | None
    expires_at: Time | None
    ended_at: Time | None
    disposition: str | None
    disposition_why: str
    action_id: str
    generation: int
    checked_at: Time | None
    unverified_since: Time | None
    trouble: str | None
    seen: dict[str, Any] | None
    repairs: int
    summary: str
    answers: list[str]
    holds: list[Hold]


class Release(In):
    """Why the hold should end. Only *recovered* counts as recovery."""

    reason: Literal["recovered", "mistaken", "superseded", "rollback"]
    why: Words


class Started(Out):
    """The run that was begun."""

    run: str


class Renew(In):
    """How much longer a containment is kept, from now on: a new lease, or a new review date."""

    seconds: Annotated[float, Field(ge=1, le=3660 * 86400, allow_inf_nan=False)]
    why: Words


class Renewed(Out):
    """`run` writes the new lease at the target; None where only the review date moved."""

    run: str | None
    action: Action


class Checked(Out):
    """How many effects are being asked about."""

    asked: int


class CheckNow(In):
    """One effect of the register, or all of them."""

    effect: str | None = None


class Resolve(In):
    """What became of an action in doubt: it happened, it did not, or do it again."""

    happened: Literal["yes", "no", "repeat"]
    reason: Words


class Dispose(In):
    """How a containment ends when its incident does."""

    disposition: Literal["kept_to_date", "handed_over", "destroyed", "target_gone"]
    why: Words


class ApprovalAction(Out):
    """One of the actions that an approval covers, as it stands before it is done."""

    id: str
    verb: str
    target: str
    target_name: str
    adapter: str
    params: dict[str, Any]
    state: str
    now: str
    undo: str
    lease_seconds: int
    guards: list[dict[str, Any]]


class VoteRow(Out):
    """One person's vote, and why it does not count where it does not."""

    person: str
    name: str
    decision: str
    reason: str
    at: Time
    counts: bool
    why_not: str


class ApprovalLine(Out):
    """An approval in a list. A vote must name its `digest`."""

    id: str
    incident_id: str
    run_id: str | None
    subject: str
    digest: str
    required: int
    any_of: list[str]
    status: str
    on_timeout: str
    asked_by: str
    asked_at: Time
    expires_at: Time | None
    decided_at: Time | None


class Approval(ApprovalLine):
    """One approval: what is asked, and who has said what."""

    actions: list[ApprovalAction]
    votes: list[VoteRow]


class CastVote(In):
    """A vote on exactly what `digest` stands for."""

    decision: Literal["approve", "deny"]
    reason: Words
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
