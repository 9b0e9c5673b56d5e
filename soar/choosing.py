"""Playbooks for an incident: begun by themselves, or proposed to an analyst. What cannot begin asks a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import binding, running
from soar.errors import Invalid
from soar.events import Kind
from soar.model import Actor
from soar.playbook.model import Playbook
from soar.resolution import ask_once
from soar.store import incidents, runs, streams
from soar.store.session import Tx
from soar.store.tables import events
from soar.store.tables import runs as run_table
from soar.triggers import Match, Trigger, matches

log = structlog.get_logger("soar.choosing")


def playbooks(
    tx: Tx, incident_id: str, alert_facts: Mapping[str, Any], *, grew: bool, may_start: bool, actor: Actor
) -> list[dict[str, Any]]:
    """Begin or propose every playbook whose trigger fits; returns what became of each.

    One that was begun or proposed before comes again only if the scope grew and it asks for that.
    """
    facts = {**incidents.facts(tx.conn, incident_id), "alert": dict(alert_facts), "variables": {}}
    books = {book.slug: book for book in runs.current_playbooks(tx.conn)}
    chosen = []
    for match in matches(_triggers(books.values()), facts):
        book = books[match.playbook_id]
        again = grew and match.trigger.rerun == "on_new_entity"
        if again or not (_ran(tx.conn, incident_id, book.slug) or _proposed(tx.conn, incident_id, book.slug)):
            chosen.append(_begin(tx, incident_id, book, match, facts, may_start, actor))
    return chosen


def _begin(
    tx: Tx, incident_id: str, book: Playbook, match: Match, facts: dict[str, Any], may_start: bool, actor: Actor
) -> dict[str, Any]:
    why = "; ".join(match.why)
    chosen = {"playbook": book.slug, "why": why}
    data = {"playbook": book.slug, "digest": book.digest}
    if match.trigger.start == "automatic" and may_start:
        try:
            inputs = binding.initial_inputs(book, facts, {})
        except Invalid as error:
            reason = str(error)
            text = f"{book.name} ({book.slug}) could not start by itself: {reason}. Start it by hand, or say why not."
            if ask_once(tx, incident_id, "not_started", text, {"decision": "str"}):
                incidents.event(
                    tx, incident_id, Kind.RUN_PROPOSED, actor=actor, data={**data, "not_started": True},
                    values={"why": why, "reason": reason},
                )  # fmt: skip
            return {**chosen, "outcome": "not started", "reason": reason}
        run_id = running.start_run(tx, incident_id, book, inputs, by=actor, why=why, automatic=True)
        return {**chosen, "outcome": "started", "run": run_id}
    incidents.event(tx, incident_id, Kind.RUN_PROPOSED, actor=actor, data=data, values={"why": why})
    return {**chosen, "outcome": "proposed"}


def _ran(conn: sa.Connection, incident_id: str, slug: str) -> bool:
    query = sa.select(run_table.c.id).where(run_table.c.incident_id == incident_id, run_table.c.playbook_slug == slug)
    return conn.execute(query.limit(1)).first() is not None


def _proposed(conn: sa.Connection, incident_id: str, slug: str) -> bool:
    """Was it proposed? What could not start does not count: with another alert it may."""
    stream = streams.incident_stream(incident_id)
    query = sa.select(events.c.body).where(events.c.stream == stream, events.c.kind == Kind.RUN_PROPOSED.value)
    said = [json.loads(body)["data"] for body in conn.execute(query).scalars()]
    return any(each["playbook"] == slug and not each.get("not_started") for each in said)


def _triggers(books: Iterable[Playbook]) -> list[Trigger]:
    """The triggers of all playbooks; one that can be read no more must not stop an alert."""
    found = []
    for book in books:
        for each in book.triggers:
            try:
                found.append(Trigger(playbook_id=book.slug, when=each.when, start=each.start, rerun=each.rerun))
            except Invalid as error:
                log.warning("trigger_unreadable", playbook=book.slug, reason=error.message)
    return found
