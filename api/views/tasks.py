"""Tasks on the wire: questions to persons."""

from __future__ import annotations

from typing import Any

from api.views.base import In, Out, Time


class Task(Out):
    """A question. `asks` names each answer with its type; `kind` says what asked it."""

    id: str
    incident_id: str
    run_id: str | None
    action_id: str | None
    kind: str
    text: str
    asks: dict[str, str]
    status: str
    opened_at: Time
    due_at: Time | None
    done_at: Time | None
    done_by: str | None
    answer: dict[str, Any]


class Answer(In):
    """The answer: a member for each name that the task asks for."""

    answer: dict[str, Any]
