"""Rows that the engine passes around, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from soar.model import JsonObject, Target
from soar.protocol import State


@dataclass(frozen=True, kw_only=True)
class ActionRow:
    """One action: one verb on one target through one adapter. Its id is its key.

    Without slots, so that `but` can copy it as a whole: it changes several times in every step.
    """

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
    incident_id: str
    caller: str
    created_at: datetime
    run_id: str | None = None
    step: str = ""
    state: State = State.PLANNED
    repeat_class: str = ""
    digest: str = ""
    undo_of: str | None = None
    undo_reason: str = ""
    renews: str | None = None
    lease_seconds: int = 0
    review_seconds: int = 0
    prior: JsonObject = field(default_factory=dict)
    handle: JsonObject = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    guards: list[Any] = field(default_factory=list)
    summary: str = ""
    approval_id: str | None = None
    effect_id: str | None = None
    called_at: datetime | None = None
    verified_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """From a row of the table `actions`."""
        values = row._asdict()
        values["target"] = Target.parse(values["target"])
        values["state"] = State(values["state"])
        return cls(**values)

    def columns(self) -> dict[str, Any]:
        """As a row of the table `actions`."""
        return {**self.__dict__, "target": str(self.target), "state": self.state.value}

    def but(self, **changes: Any) -> ActionRow:
        """The same with other values in some columns."""
        new = object.__new__(ActionRow)
        new.__dict__.update(self.__dict__, **changes)
        return new

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
    priority: int
    losses: int
    notes: JsonObject

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the columns of the table `work`."""
        return cls(**{name: values[name] for name in cls.__slots__})
