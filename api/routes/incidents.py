"""Incidents: read, judge, declare, note, close."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Response

from api.auth import TheHouse, needs
from api.routes import paging
from api.routes.told import detail, line
from api.views.base import After, Ident, Limit, Page
from api.views.incidents import (
    Close,
    Declare,
    Determine,
    EventPage,
    EventRow,
    Incident,
    IncidentLine,
    Note,
    TimelineView,
)
from api.wiring import House
from soar import timeline as timelines
from soar.engine import closing
from soar.errors import Conflict
from soar.events import Kind
from soar.model import Actor, Determination, IncidentStatus
from soar.store import incidents, people, streams
from soar.store.session import Tx
from soar.store.tables import incidents as table

router = APIRouter(prefix="/incidents", tags=["incidents"])
Status = Literal["new", "in_progress", "on_hold", "resolved", "closed"]
IfMatch = Annotated[str | None, Header(pattern=r'^"?[0-9]{1,9}"?$', description="the version that you have read")]
Reader = Annotated[Actor, needs("incident.read")]
Editor = Annotated[Actor, needs("incident.edit")]


@router.get("", summary="List incidents")
def list_incidents(
    house: TheHouse, _: Reader, status: Annotated[Status | None, Query()] = None, after: After = None,
    limit: Limit = 100,
) -> Page[IncidentLine]:  # fmt: skip
    """Newest first."""
    query = sa.select(table)
    if status:
        query = query.where(table.c.status == status)
    with house.store.read() as conn:
        rows, following = paging.page(conn, query, table, after, limit)
        return Page(items=[line(conn, row) for row in rows], next=following)


@router.get("/{incident}", summary="Read one incident")
def read(incident: Ident, house: TheHouse, _: Reader, response: Response) -> Incident:
    """By id or by name (INC-7), with scope, observables, alerts, runs, proposals and open tasks."""
    return _told(house, response, incident)


@router.post("/{incident}/determine", summary="Say what the incident is held to be")
def determine(
    incident: Ident, body: Determine, house: TheHouse, actor: Editor, response: Response, if_match: IfMatch = None
) -> Incident:
    """With If-Match, 409 when the incident has changed since that version. Who confirms is remembered."""

    def write(tx: Tx) -> None:
        row = _open(tx, incident, if_match)
        columns: dict[str, Any] = {"determination": body.determination}
        confirmed = body.determination == Determination.CONFIRMED.value and actor.kind == "person"
        if confirmed and not row.confirmed_by:  # the first one stays: whoever confirms again frees nobody to vote
            columns["confirmed_by"] = actor.id
        incidents.update(tx, row.id, **columns)
        incidents.event(
            tx, row.id, Kind.INCIDENT_DETERMINED, actor=actor,
            data={"determination": body.determination, "before": row.determination}, values={"reason": body.reason},
        )  # fmt: skip

    house.store.write(write)
    return _told(house, response, incident)


@router.post("/{incident}/declare", summary="Declare the incident")
def declare(incident: Ident, body: Declare, house: TheHouse, actor: Editor, response: Response) -> Incident:
    """An alert is not yet an incident: somebody declares it, once, and says why."""

    def write(tx: Tx) -> None:
        row = _open(tx, incident, None)
        if row.declared_at is not None:
            raise Conflict("this incident was declared already")
        incidents.update(tx, row.id, declared_at=tx.now, declared_by=actor.id, declared_why=body.why)
        incidents.event(
            tx, row.id, Kind.INCIDENT_DECLARED, actor=actor, data={"incident": row.id}, values={"why": body.why}
        )

    house.store.write(write)
    return _told(house, response, incident)


@router.post("/{incident}/notes", status_code=204, summary="Add a note")
def note(incident: Ident, body: Note, house: TheHouse, actor: Editor, if_match: IfMatch = None) -> None:
    """Goes to the incident's stream; a closed incident takes notes too."""

    def write(tx: Tx) -> None:
        row = incidents.get(tx.conn, incident)
        _check_version(row, if_match)
        incidents.event(tx, row.id, Kind.INCIDENT_NOTED, actor=actor, values={"text": body.text})

    house.store.write(write)


@router.post("/{incident}/close", summary="Close the incident")
def close(
    incident: Ident, body: Close, house: TheHouse, actor: Annotated[Actor, needs("incident.close")],
    response: Response,
) -> Incident:  # fmt: skip
    """409 with `undecided` while a run goes on, a doubt is open, or a containment has no disposition."""

    house.store.write(lambda tx: closing.close(tx, incident, actor, body.resolution))
    return _told(house, response, incident)


@router.get("/{incident}/timeline", summary="Read the phase timeline")
def timeline(incident: Ident, house: TheHouse, _: Annotated[Actor, needs("timeline.read")]) -> TimelineView:
    """Derived from the incident's events: lanes of phases, the same as rows, and what was measured."""
    now = house.store.clock.now()
    with house.store.read() as conn:
        events = streams.read(conn, streams.incident_stream(incidents.get(conn, incident).id))
        found = timelines.timeline(events, now)
        told = [{**row, "moved_by": people.told(conn, row["moved_by"])} for row in timelines.rows(found)]
    return TimelineView(timeline=dict(found.as_plain()), rows=told, measures=timelines.measures(events, now))


@router.get("/{incident}/events", summary="Read the incident's events")
def read_events(
    incident: Ident, house: TheHouse, _: Annotated[Actor, needs("timeline.read")],
    after: Annotated[int, Query(ge=-1, le=2**31, description="the `seq` of the last event of the page before")] = -1,
    limit: Limit = 100,
) -> EventPage:  # fmt: skip
    """In the order of the stream."""
    with house.store.read() as conn:
        stream = streams.incident_stream(incidents.get(conn, incident).id)
        found = streams.read(conn, stream, after, limit + 1)
    items = [EventRow.model_validate(each) for each in found[:limit]]
    return EventPage(items=items, next=items[-1].seq if len(found) > limit else None)


def _open(tx: Tx, incident: str, if_match: str | None) -> Any:
    """An incident that is not closed and has the version that the caller read; raises Conflict."""
    row = incidents.get(tx.conn, incident, lock=True)
    if row.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    _check_version(row, if_match)
    return row


def _check_version(row: Any, if_match: str | None) -> None:
    if if_match is not None and int(if_match.strip('"')) != row.version:
        raise Conflict(f"this incident is at version {row.version} now; read it again", version=row.version)


def _told(house: House, response: Response, wanted: str) -> Incident:
    """The incident as it stands now, with its version as ETag."""
    with house.store.read() as conn:
        incident = detail(conn, incidents.get(conn, wanted), house.store.clock.now())
    response.headers["ETag"] = f'"{incident.version}"'
    return incident
