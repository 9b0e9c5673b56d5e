"""Tasks: questions to persons, and their answers."""

from __future__ import annotations

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query

from api.auth import TheHouse, needs
from api.routes import paging
from api.views.base import After, Ident, Limit, OfIncident, Page
from api.views.tasks import Answer, Task
from soar.engine import asking
from soar.model import Actor
from soar.store import incidents, tasks
from soar.store.session import Tx
from soar.store.tables import tasks as table

router = APIRouter(prefix="/tasks", tags=["tasks"])
Reader = Annotated[Actor, needs("incident.read")]


@router.get("", summary="List tasks")
def list_tasks(
    house: TheHouse, _: Reader, status: Annotated[Literal["open", "done"] | None, Query()] = None,
    incident: OfIncident = None, after: After = None, limit: Limit = 100,
) -> Page[Task]:  # fmt: skip
    """Newest first."""
    query = sa.select(table)
    if status:
        query = query.where(table.c.status == status)
    with house.store.read() as conn:
        if incident:
            query = query.where(table.c.incident_id == incidents.get(conn, incident).id)
        rows, following = paging.page(conn, query, table, after, limit)
    return Page(items=[Task.model_validate(row) for row in rows], next=following)


@router.get("/{task}", summary="Read one task")
def read(task: Ident, house: TheHouse, _: Reader) -> Task:
    """The question and, once it is given, the answer."""
    with house.store.read() as conn:
        return Task.model_validate(tasks.get(conn, task))


@router.post("/{task}/answer", summary="Answer a task")
def answer(task: Ident, body: Answer, house: TheHouse, actor: Annotated[Actor, needs("task.answer")]) -> Task:
    """One member for each name that the task asks for; what waited for it goes on.

    For an ambiguous name, `answer` of the open task lists the candidates; `entity` names one by its id.
    """

    def write(tx: Tx) -> Task:
        asked = tasks.get(tx.conn, task)
        asking.answer(tx, task, actor, body.answer)
        if asked.kind == "ambiguous":
            house.intake.answer_ambiguous(tx, asked, body.answer, actor)
        return Task.model_validate(tasks.get(tx.conn, task))

    return house.store.write(write)
