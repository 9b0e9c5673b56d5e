"""Rows that the engine passes around, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from soar.model import JsonObject, Target
from soar.protocol import State


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """One action: one verb on one target through one adapter. Its id is its key."""

    id: str
    origin: str
    step_path: str
    command_index: int
    target: Target
    target_name: str
    verb: str
    generation: int
    adapter: str
    params: JsonObject
    repeat_class: str
    digest: str
    state: State
    incident_id: str
    run_id: str | None
    step: str
    undo_of: str | None
    undo_reason: str
    prior: JsonObject
    handle: JsonObject
    outputs: JsonObject
    guards: list[Any]
    summary: str
    lease_seconds: int
    review_seconds: int
    caller: str
    approval_id: str | None
    effect_id: str | None
    created_at: datetime
    called_at: datetime | None
    verified_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """From a row of the table `actions`."""
        values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
        values["target"] = Target.parse(values["target"])
        values["state"] = State(values["state"])
        return cls(**values)

    def as_plain(self) -> dict[str, Any]:
        """As JSON: times in RFC 3339, the target as `kind:id`."""
        plain: dict[str, Any] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, datetime):
                value = value.isoformat()
            plain[spec.name] = str(value) if isinstance(value, Target) else value
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRow:
    """One piece of work that a worker holds: a step of a run, with the fence of its claim."""

    id: str
    run_id: str
    occurrence: str
    attempt: int
    kind: str
    step_id: str
    branch: str
    fence: int
    notes: JsonObject

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """From a row of the table `work`."""
        values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
        return cls(**{spec.name: values[spec.name] for spec in fields(cls)})
