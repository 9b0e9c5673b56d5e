"""Alert in: idempotent, counted, correlated, an incident opened or joined, runs started or proposed.

A delivery that was seen gets the same answer and changes nothing. The source's own id updates the
alert it names; the same rule on the same entities within the window counts one more; a shared host,
account or address joins the open incident. All of it is one commit, and only then is anybody rung.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import binding, runner
from soar.errors import AdapterError, Conflict, Invalid
from soar.events import Kind
from soar.model import Actor, Alert, Entity, EntityKind, Mention, ScopeStatus
from soar.playbook.model import Playbook
from soar.ports import Directory, Vault
from soar.store import alerts, incidents, runs, tasks
from soar.store.incidents import Link
from soar.store.session import Store, Tx
from soar.store.tables import runs as run_table
from soar.triggers import Match, Trigger, matches

log = structlog.get_logger("soar.intake")


_HIT = frozenset({"affected", "src"})
"""Roles of a mention that make it affected; a related thing or a destination is only suspected."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A mention and what the inventories say it was at the alert's time."""

    mention: Mention
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Takes alerts in. `may_start`: a protected list is configured, so runs may begin by themselves."""

    store: Store
    vault: Vault
    directories: Sequence[Directory]
    may_start: bool
    dedupe: timedelta
    correlate: timedelta

    def receive(
        self, source: str, delivery_id: str, raw: bytes, found: Sequence[Alert], actor: Actor
    ) -> dict[str, Any]:
        """Take in one delivery; returns the answer that a replay will get again.

        Raises Conflict when the delivery id was used for another body.
        """
        digest = hashlib.sha256(raw).hexdigest()
        with self.store.read() as conn:
            before = alerts.delivery(conn, source, delivery_id)
        if before is not None:
            return _replayed(before, digest)
        self.vault.put(io.BytesIO(raw))
        resolved = [(replace(alert, source=source), self._resolve(alert)) for alert in found]

        def keep(tx: Tx) -> dict[str, Any]:
            again = alerts.delivery(tx.conn, source, delivery_id)
            if again is not None:
                return _replayed(again, digest)
            taken = [self._take(tx, alert, entities, digest, actor) for alert, entities in resolved]
            answer = {"delivery": delivery_id, "alerts": taken}
            alerts.keep_delivery(tx, source, delivery_id, digest, answer)
            return {**answer, "replayed": False}

        return self.store.write(keep)

    def _resolve(self, alert: Alert) -> list[Resolved]:
        """Ask every inventory what each mention was when the alert's cause happened."""
        resolved = []
        for mention in alert.mentions:
            entities = [entity for each in self.directories for entity in _ask(each, mention, alert.occurred_at)]
            unique = {(entity.kind, entity.id): entity for entity in entities}
            resolved.append(Resolved(mention, tuple(unique.values())))
        return resolved

    def _take(self, tx: Tx, alert: Alert, resolved: list[Resolved], digest: str, actor: Actor) -> dict[str, Any]:
        known = alerts.same_finding(tx.conn, alert) or alerts.duplicate(tx.conn, alert, tx.now - self.dedupe)
        if known is not None:
            return _repeat(tx, known, actor)
        wanted = _links(alert, resolved)
        joined = incidents.find_linked(tx.conn, wanted, tx.now - self.correlate)
        why = "shares " + ", ".join(f"{kind} {value}" for kind, value in joined[1]) if joined else ""
        incident_id = (
            joined[0] if joined else incidents.open_new(tx, alert.title, alert.severity, actor, alert.rule_name)
        )
        alert_id = alerts.insert(tx, alert, incident_id, digest, why)
        incidents.event(
            tx, incident_id, Kind.ALERT_JOINED if joined else Kind.ALERT_RECEIVED, actor=actor, at=tx.now,
            data={"alert": alert_id, "source": alert.source, "rule": alert.rule_id, "severity_id": alert.severity.id},
            values={"title": alert.title, "why": why, "raw_sha256": digest},
        )  # fmt: skip
        incidents.add_links(tx, incident_id, wanted)
        new_scope = self._scope(tx, incident_id, alert, resolved, actor)
        for observable in alert.observables:
            incidents.add_observable(tx, incident_id, observable, actor)
        chosen = self._choose(tx, incident_id, alert, new_scope, actor)
        return {
            "alert": alert_id, "incident": incident_id, "outcome": "joined" if joined else "opened", "why": why,
            "count": 1, "playbooks": chosen,
        }  # fmt: skip

    def _scope(self, tx: Tx, incident_id: str, alert: Alert, resolved: Iterable[Resolved], actor: Actor) -> bool:
        """Put what was resolved into scope: affected where the alert says so, else only suspected.

        What is ambiguous becomes a question to a person.
        """
        grew = False
        for each in resolved:
            if len(each.entities) == 1:
                status = ScopeStatus.AFFECTED if each.mention.role in _HIT else ScopeStatus.SUSPECTED
                grew |= incidents.add_scope(tx, incident_id, each.entities[0], status, alert.occurred_at, actor)
            elif len(each.entities) > 1 and each.mention.role != "id":
                _ask_which(tx, incident_id, each)
        return grew

    def _choose(self, tx: Tx, incident_id: str, alert: Alert, grew: bool, actor: Actor) -> list[dict[str, Any]]:
        """Playbooks whose trigger fits: begun by themselves, or proposed to an analyst."""
        facts = {**incidents.facts(tx.conn, incident_id), "alert": dict(alert.facts), "variables": {}}
        books = {book.slug: book for book in runs.current_playbooks(tx.conn)}
        chosen = []
        for match in matches(_triggers(books.values()), facts):
            book = books[match.playbook_id]
            earlier = tx.conn.execute(
                sa.select(run_table.c.id).where(
                    run_table.c.incident_id == incident_id, run_table.c.playbook_slug == book.slug
                )
            ).first()
            if earlier and not (grew and match.trigger.rerun == "on_new_entity"):
                continue
            chosen.append(self._begin(tx, incident_id, book, match, facts, actor))
        return chosen

    def _begin(
        self, tx: Tx, incident_id: str, book: Playbook, match: Match, facts: dict[str, Any], actor: Actor
    ) -> dict[str, Any]:
        why = "; ".join(match.why)
        chosen = {"playbook": book.slug, "why": why}
        if match.trigger.start == "automatic" and self.may_start:
            try:
                inputs = binding.initial_inputs(book, facts, {})
            except Invalid as error:
                return {**chosen, "outcome": "not started", "reason": str(error)}
            run_id = runner.start_run(tx, incident_id, book, inputs, by=actor, why=why, automatic=True)
            return {**chosen, "outcome": "started", "run": run_id}
        incidents.event(
            tx, incident_id, Kind.RUN_PROPOSED, actor=actor, data={"playbook": book.slug, "digest": book.digest},
            values={"why": why},
        )  # fmt: skip
        return {**chosen, "outcome": "proposed"}


def _ask(directory: Directory, mention: Mention, at: datetime) -> Sequence[Entity]:
    """What one inventory says; one that does not answer must not stop an alert."""
    try:
        return directory.resolve(mention, at)
    except AdapterError as error:
        log.warning("inventory_silent", inventory=directory.name, reason=error.message)
        return ()


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


def _replayed(before: Any, digest: str) -> dict[str, Any]:
    if before.body_sha256 != digest:
        raise Conflict("this delivery id was used for another body", delivery=before.delivery_id)
    return {**before.answer, "replayed": True}


def _repeat(tx: Tx, known: Any, actor: Actor) -> dict[str, Any]:
    count = alerts.count_again(tx, known.id)
    incidents.event(tx, known.incident_id, Kind.ALERT_REPEATED, actor=actor, data={"alert": known.id, "count": count})
    return {
        "alert": known.id, "incident": known.incident_id, "outcome": "counted", "count": count, "why": "",
        "playbooks": [],
    }  # fmt: skip


def _links(alert: Alert, resolved: Iterable[Resolved]) -> list[Link]:
    """What this alert can be tied to others by: hosts, accounts and their addresses, and what was talked to.

    A destination inside and an address that belongs to nothing known (a resolver, a container bridge)
    tie everything together, so they tie nothing.
    """
    found: list[Link] = []
    for each in resolved:
        if len(each.entities) != 1 or each.mention.role == "dest":
            continue
        entity = each.entities[0]
        if entity.kind in (EntityKind.HOST, EntityKind.ACCOUNT):
            found.append((entity.kind.value, entity.id))
        if each.mention.kind == "address":
            found.append(("address", each.mention.value))
    found += [("address", seen.value) for seen in alert.observables if seen.type in ("ipv4-addr", "ipv6-addr")]
    return list(dict.fromkeys(found))


def _ask_which(tx: Tx, incident_id: str, each: Resolved) -> None:
    names = ", ".join(f"{entity.name} ({entity.source})" for entity in each.entities)
    text = f"{each.mention.kind} {each.mention.value} could be any of: {names}. Which one is meant?"
    tasks.open_task(tx, incident_id, kind="ambiguous", text=text, asks={"entity": "str"})
