"""Playbooks for an incident: begun by themselves, or proposed to an analyst. What cannot begin asks a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from soar.engine import binding, running
from soar.errors import Invalid, Refused
from soar.events import Kind
from soar.model import Actor
from soar.playbook.model import Playbook
from soar.playbook.trust.gate import Gate
from soar.resolution import ask_once
from soar.store import incidents, runs
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import playbooks as playbooks_table
from soar.store.tables import proposals
from soar.store.tables import runs as run_table
from soar.triggers import Match, Trigger, matches

log = structlog.get_logger("soar.choosing")


@dataclass(frozen=True, slots=True)
class Known:
    """A playbook that has been read, its digest, and its triggers."""

    digest: str
    book: Playbook
    triggers: tuple[Trigger, ...]


class _Facts(Mapping[str, Any]):
    """What triggers may speak of. The incident is read when one that needs it comes so far; most alerts fit none."""

    def __init__(self, tx: Tx, incident_id: str, alert_facts: Mapping[str, Any]) -> None:
        self._tx, self._incident_id = tx, incident_id
        self._known: dict[str, Any] = {"alert": dict(alert_facts), "variables": {}}
        self._whole = False

    def _read(self) -> dict[str, Any]:
        if not self._whole:
            self._known = {**incidents.facts(self._tx.conn, self._incident_id), **self._known}
            self._whole = True
        return self._known

    def __getitem__(self, name: str) -> Any:
        return self._known[name] if name in self._known else self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def playbooks(
    tx: Tx,
    incident_id: str,
    alert_facts: Mapping[str, Any],
    *,
    grew: bool,
    may_start: bool,
    gate: Gate,
    actor: Actor,
) -> list[dict[str, Any]]:
    """Begin or propose every playbook whose trigger fits; returns what became of each.

    One that was begun or proposed before comes again only if the scope grew and it asks for that.
    """
    facts = _Facts(tx, incident_id, alert_facts)
    books = {known.book.slug: known for known in _current(tx)}
    chosen: list[dict[str, Any]] = []
    fitting = matches((trigger for known in books.values() for trigger in known.triggers), facts)
    before = _before(tx, incident_id) if fitting else set()
    for match in fitting:
        known = books[match.playbook_id]
        if known.book.slug not in before or (grew and match.trigger.rerun == "on_new_entity"):
            chosen.append(became := _begin(tx, incident_id, known, match, facts, may_start, gate, actor))
            if became["outcome"] != "not started":
                before.add(known.book.slug)
    return chosen


def _begin(
    tx: Tx,
    incident_id: str,
    known: Known,
    match: Match,
    facts: Mapping[str, Any],
    may_start: bool,
    gate: Gate,
    actor: Actor,
) -> dict[str, Any]:
    book, why = known.book, "; ".join(match.why)
    chosen = {"playbook": book.slug, "why": why}
    data = {"playbook": book.slug, "digest": known.digest}
    if match.trigger.start == "automatic" and may_start:
        try:
            gate.admit(book, tx.now)
            inputs = binding.initial_inputs(book, facts, {})
        except (Invalid, Refused) as error:
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
    tx.run(_PROPOSE[tx.postgres], {"incident_id": incident_id, "playbook_slug": book.slug})
    return {**chosen, "outcome": "proposed"}


def _before(tx: Tx, incident_id: str) -> set[str]:
    """What was begun or proposed in this incident. What could not start does not count: with another alert it may."""
    return {row.playbook_slug for each in _BEFORE for row in tx.run(each, {"incident": incident_id}).all()}


def _current(tx: Tx) -> list[Known]:
    """The newest version of each playbook. Reading one costs milliseconds, so it is kept by its digest."""
    found = []
    for digest in (row.digest for row in tx.run(_CURRENT, {}).all()):
        known = _read.get(digest)
        if known is None:
            if len(_read) >= _KEPT:
                _read.clear()
            book = runs.playbook(tx.peek, digest)
            known = _read[digest] = Known(digest, book, _triggers(book))
        found.append(known)
    return found


def _triggers(book: Playbook) -> tuple[Trigger, ...]:
    """A playbook's triggers; one that can be read no more must not stop an alert."""
    found = []
    for each in book.triggers:
        try:
            found.append(Trigger(playbook_id=book.slug, when=each.when, start=each.start, rerun=each.rerun))
        except Invalid as error:
            log.warning("trigger_unreadable", playbook=book.slug, reason=error.message)
    return tuple(found)


_KEPT = 1024
_read: dict[str, Known] = {}
_CURRENT = Statement(
    sa.select(playbooks_table.c.digest).where(playbooks_table.c.current).order_by(playbooks_table.c.slug)
)
_BEFORE = tuple(
    Statement(sa.select(table.c.playbook_slug).where(table.c.incident_id == sa.bindparam("incident")))
    for table in (run_table, proposals)
)
_PROPOSE = {
    False: Statement(sqlite.insert(proposals).on_conflict_do_nothing()),
    True: Statement(postgresql.insert(proposals).on_conflict_do_nothing()),
}
