"""Break-glass on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.views.base import In, Out, Time, Words


class BreakGlass(Out):
    """A break-glass. `status` is asked, open, denied, lapsed or ended; `expires_at` is when this status ends by itself.

    `asked_by` and `approved_by` are names; `approved_by` is empty until a second person has approved.
    """

    id: str
    incident_id: str
    status: str
    reason: str
    asked_by: str
    asked_at: Time
    approved_by: str
    opened_at: Time | None
    expires_at: Time
    ended_at: Time | None
    ended_by: str
    end_reason: str


class AskBreakGlass(In):
    """For which incident (id or INC-7) soft guards should yield, and why."""

    incident: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._:-]{0,63}$")]
    reason: Words


class Because(In):
    """Why."""

    reason: Words
