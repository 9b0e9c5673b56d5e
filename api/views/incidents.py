"""Incidents on the wire."""

from __future__ import annotations

from typing import Any, Literal

from api.views.base import In, Out, Time, Words
from api.views.runs import Proposal, RunLine
from api.views.tasks import Task
from soar.model import Severity


class IncidentLine(Out):
    """An incident in a list. `version` is its ETag; persons are named."""

    id: str
    name: str
    number: int
    title: str
    status: str
    determination: str
    severity: str
    severity_id: int
    opened_at: Time
    declared_at: Time | None
    declared_by: str | None
    declared_why: str | None
    confirmed_by: str | None
    closed_at: Time | None
    version: int


class ScopeRow(Out):
    """A thing that the incident is about. `age_seconds`: how old the inventory's fact was at `as_of`."""

    kind: str
    entity_id: str
    name: str
    status: str
    resolved_by: str
    as_of: Time
    known_since: Time | None
    age_seconds: float | None
    addresses: list[str]
    tags: list[str]
    groups: list[str]
    added_at: Time


class Observable(Out):
    """A value that can be looked up or blocked, and what is held of it."""

    id: str
    type: str
    value: str
    verdict: str
    confidence: int
    judged_by: str
    added_at: Time


class AlertLine(Out):
    """An alert that belongs to the incident. `facts` is what triggers read under `alert:`."""

    id: str
    source: str
    source_alert_id: str
    rule_id: str
    title: str
    severity: str
    occurred_at: Time
    first_seen: Time
    last_seen: Time
    count: int
    joined_why: str
    facts: dict[str, Any]


class Incident(IncidentLine):
    """One incident with everything that belongs to it."""

    phase: str
    scope: list[ScopeRow]
    observables: list[Observable]
    alerts: list[AlertLine]
    runs: list[RunLine]
    proposals: list[Proposal]
    tasks: list[Task]


class Determine(In):
    """What the incident is held to be (STIX 2.1 incident extension)."""

    determination: Literal["suspected", "confirmed", "false-positive", "blocked", "failed-attempt"]
    reason: Words


class Declare(In):
    """Why this is an incident."""

    why: Words


class Note(In):
    """Something to remember."""

    text: Words


class Close(In):
    """How the incident ended."""

    resolution: Words


class EventRow(Out):
    """Something that happened. `data` is fixed; `values` may have been redacted."""

    id: str
    seq: int
    kind: str
    at: Time
    recorded_at: Time
    actor: str
    phase: str | None
    data: dict[str, Any]
    values: dict[str, Any]


class EventPage(Out):
    """Events in their order. `next` is the `after` of the following page, null at the end."""

    items: list[EventRow]
    next: int | None


class TimelineView(Out):
    """The phase timeline in lanes, the same as flat rows, and the moments measured from it."""

    timeline: dict[str, Any]
    rows: list[dict[str, Any]]
    measures: dict[str, Any]


def scope_row(row: Any) -> ScopeRow:
    """A row of `scope`."""
    age = (row.as_of - row.known_since).total_seconds() if row.known_since else None
    return ScopeRow(
        kind=row.kind, entity_id=row.entity_id, name=row.name, status=row.status, resolved_by=row.resolved_by,
        as_of=row.as_of, known_since=row.known_since, age_seconds=age, addresses=row.entity["addresses"],
        tags=row.entity["tags"], groups=row.entity["groups"], added_at=row.added_at,
    )  # fmt: skip


def alert_line(row: Any) -> AlertLine:
    """A row of `alerts`."""
    return AlertLine(
        id=row.id, source=row.source, source_alert_id=row.source_alert_id, rule_id=row.rule_id, title=row.title,
        severity=Severity.of(row.severity_id).value, occurred_at=row.occurred_at, first_seen=row.first_seen,
        last_seen=row.last_seen, count=row.count, joined_why=row.joined_why, facts=row.facts,
    )  # fmt: skip
