"""Alert in: idempotent, counted, correlated, an incident opened or joined, runs started or proposed.

A delivery that was seen gets the same answer and changes nothing. The source's own id updates the
alert it names; the same rule on the same entities within the window counts one more; a shared host,
account or address joins the open incident. What comes again after its incident was closed opens a
new one. All of it is one commit, and only then is anybody rung.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar import choosing, resolution
from soar.errors import Conflict, SoarError
from soar.events import Kind
from soar.model import ENGINE, Actor, Alert, IncidentStatus
from soar.playbook.trust.gate import Gate
from soar.ports import Directory, Vault
from soar.resolution import Resolved
from soar.store import alerts, incidents, links, locks
from soar.store.links import Link
from soar.store.session import Store, Tx
from soar.store.tables import incidents as incident_table

log = structlog.get_logger("soar.intake")
RECENT = 4096
INLINE = 64 * 1024
"""A body up to so many octets is stored in the commit that takes it in, a larger one in the vault before it."""


class _Recent:
    """The newest deliveries that this process took in. What is sent again is sent again soon."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, delivery: tuple[str, str]) -> bool:
        return delivery in self._seen

    def add(self, delivery: tuple[str, str]) -> None:
        with self._lock:
            self._seen[delivery] = None
            if len(self._seen) > RECENT:
                self._seen.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Takes alerts in. `may_start`: a protected list is configured, so runs may begin by themselves."""

    store: Store
    vault: Vault
    directories: Sequence[Directory]
    may_start: bool
    gate: Gate = field(default_factory=Gate)
    dedupe: timedelta
    correlate: timedelta
    recent: _Recent = field(default_factory=_Recent)

    def receive(
        self, source: str, delivery_id: str, raw: bytes, found: Sequence[Alert], actor: Actor
    ) -> dict[str, Any]:
        """Take in one delivery; returns the answer that a replay will get again.

        Raises Conflict when the delivery id was used for another body.
        """
        digest = hashlib.sha256(raw).hexdigest()
        if len(raw) > INLINE or (source, delivery_id) in self.recent:
            with self.store.read() as conn:  # what was answered before costs no inventory and no disk
                before = alerts.delivery(conn, source, delivery_id)
            if before is not None:
                return _replayed(before, digest)
        if len(raw) > INLINE:
            self.vault.put(io.BytesIO(raw))
        resolved = [
            (replace(alert, source=source), resolution.resolve(self.directories, alert.mentions, alert.occurred_at))
            for alert in found
        ]
        names = [f"delivery:{source}:{delivery_id}"]
        for alert, entities in resolved:
            names += _names(alert, resolution.links_of(alert.observables, entities))

        def keep(tx: Tx) -> dict[str, Any]:
            locks.hold(tx, names)
            again = alerts.delivery(tx.peek, source, delivery_id)
            if again is not None:
                return _replayed(again, digest)
            taken = [self._take(tx, alert, entities, digest, actor) for alert, entities in resolved]
            answer = {"delivery": delivery_id, "alerts": taken}
            alerts.keep_delivery(tx, source, delivery_id, digest, answer, raw if len(raw) <= INLINE else None)
            return {**answer, "replayed": False}

        answer = self.store.write(keep)
        self.recent.add((source, delivery_id))
        return answer

    def resolve_forever(self, stop: threading.Event) -> None:
        """Ask silent inventories again until told to stop. A thread of its own: a slow answer delays no timer."""
        while not stop.wait(1.0):
            try:
                self.resolve_due()
            except (SoarError, sa.exc.SQLAlchemyError) as error:
                log.warning("mentions_wait", reason=str(error).partition("\n")[0])

    def resolve_due(self) -> int:
        """Ask again for all mentions whose time has come; returns how many timers were served."""
        with self.store.read() as conn:
            timers = resolution.waiting(conn, self.store.clock.now())
        return sum(self.resolve_again(timer) for timer in timers)

    def resolve_again(self, timer: Any) -> bool:
        """Ask again for the mentions of one timer (a row of `due`), as of the alert's time, then go on as intake does.

        Calls the inventories: never inside a write. False when another process was faster. A closed
        incident gets no scope and no run any more, only a note of what was never resolved.
        """
        incident_id, data = timer.ref, timer.data
        occurred_at = datetime.fromisoformat(data["occurred_at"])
        resolved = resolution.resolve(self.directories, resolution.mentions_in(data), occurred_at)

        wanted = resolution.links_of((), resolved)

        def settle(tx: Tx) -> bool:
            locks.hold(tx, _shared(wanted))
            if not resolution.finish(tx, timer.id):
                return False
            if _closed(tx, incident_id):
                names = ", ".join(f"{each.mention.kind} {each.mention.value}" for each in resolved)
                text = f"closed before an inventory told what these are: {names}"
                incidents.event(tx, incident_id, Kind.INCIDENT_NOTED, values={"text": text})
                return True
            alert = alerts.get(tx.conn, data["alert"])
            links.add(tx, incident_id, wanted)
            seen = resolution.Seen(alert.id, incident_id, alert.occurred_at)
            if resolution.settle(tx, seen, resolved, ENGINE, data["tries"]):
                self._choose(tx, incident_id, alert.facts, True, ENGINE)
            return True

        return self.store.write(settle)

    def answer_ambiguous(self, tx: Tx, task: Any, answer: Mapping[str, Any], actor: Actor) -> None:
        """A person said which thing was meant: it is in scope now, and playbooks are chosen again.

        `task` is the row as it stood before it was answered. Raises Invalid for what was no candidate.
        """
        alert = alerts.get(tx.conn, resolution.choose(tx, task, answer, actor))
        self._choose(tx, task.incident_id, alert.facts, True, actor)

    def _take(self, tx: Tx, alert: Alert, resolved: list[Resolved], digest: str, actor: Actor) -> dict[str, Any]:
        same, alike = alerts.known(tx, alert, tx.now - self.dedupe)
        seen = [each for each in (same, alike) if each is not None]
        for known in seen:
            if known.status != IncidentStatus.CLOSED.value:
                return self._repeat(tx, known, known is same, alert, resolved, digest, actor)
        return self._open(tx, same, seen[0] if seen else None, alert, resolved, digest, actor)

    def _open(
        self, tx: Tx, same: Any | None, old: Any | None, alert: Alert, resolved: list[Resolved], digest: str,
        actor: Actor,
    ) -> dict[str, Any]:  # fmt: skip
        """Into the open incident that shares something, else into a new one.

        `old` is its like in a closed incident, `same` the very same finding there.
        """
        wanted = resolution.links_of(alert.observables, resolved)
        joined = links.find(tx, wanted, tx.now - self.correlate)
        reasons = [f"seen again after INC-{old.number} was closed"] if old else []
        if joined:
            reasons.append("shares " + ", ".join(f"{kind} {value}" for kind, value in joined[1]))
        why = "; ".join(reasons)
        incident_id = (
            joined[0] if joined else incidents.open_new(tx, alert.title, alert.severity, actor, why or alert.rule_name)
        )
        alert_id = alerts.insert(tx, alert, incident_id, digest, why, same)
        incidents.event(
            tx, incident_id, Kind.ALERT_JOINED if joined else Kind.ALERT_RECEIVED, actor=actor, at=tx.now,
            data={"alert": alert_id, "source": alert.source, "rule": alert.rule_id, "severity_id": alert.severity.id},
            values={"title": alert.title, "why": why, "raw_sha256": digest},
        )  # fmt: skip
        if old:
            again = {"alert": old.id, "count": alerts.count_again(tx, old.id), "incident": incident_id}
            incidents.event(tx, old.incident_id, Kind.ALERT_REPEATED, actor=actor, data=again)
        grew = _enter(tx, alert_id, incident_id, alert, resolved, actor)
        playbooks = self._choose(tx, incident_id, alert.facts, grew, actor)
        return _taken(alert_id, incident_id, "joined" if joined else "opened", why, 1, playbooks)

    def _repeat(
        self, tx: Tx, known: Any, same: bool, alert: Alert, resolved: list[Resolved], digest: str, actor: Actor
    ) -> dict[str, Any]:
        """Count it once more; what the source says anew of the same finding is taken over."""
        count = alerts.count_again(tx, known.id)
        changed = same and alerts.differs(known, alert)
        incidents.event(
            tx, known.incident_id, Kind.ALERT_REPEATED, actor=actor,
            data={"alert": known.id, "count": count, "changed": changed}, values={"raw_sha256": digest},
        )  # fmt: skip
        playbooks = self._update(tx, known, alert, resolved, actor) if changed else []
        return _taken(known.id, known.incident_id, "counted", "", count, playbooks)

    def _update(self, tx: Tx, known: Any, alert: Alert, resolved: list[Resolved], actor: Actor) -> list[dict[str, Any]]:
        """The source says more of a finding that it told us of before; severity is only ever raised."""
        alerts.update(tx, known, alert)
        incident = incidents.get(tx.conn, known.incident_id)
        if alert.severity.id > incident.severity_id:
            incidents.update(tx, incident.id, severity_id=alert.severity.id)
        grew = _enter(tx, known.id, incident.id, alert, resolved, actor)
        return self._choose(tx, incident.id, alert.facts, grew, actor)

    def _choose(
        self, tx: Tx, incident_id: str, facts: Mapping[str, Any], grew: bool, actor: Actor
    ) -> list[dict[str, Any]]:
        return choosing.playbooks(
            tx, incident_id, facts, grew=grew, may_start=self.may_start, gate=self.gate, actor=actor
        )


def _enter(tx: Tx, alert_id: str, incident_id: str, alert: Alert, resolved: list[Resolved], actor: Actor) -> bool:
    """Links, scope and observables of an alert into its incident; True when any of it is new."""
    links.add(tx, incident_id, resolution.links_of(alert.observables, resolved))
    grew = resolution.settle(tx, resolution.Seen(alert_id, incident_id, alert.occurred_at), resolved, actor)
    for observable in alert.observables:
        grew |= incidents.add_observable(tx, incident_id, observable, actor)
    return grew


def _names(alert: Alert, shared: Iterable[Link]) -> list[str]:
    """What must not be looked for by two at the same moment: this finding, its like, what it shares with others."""
    own = [f"finding:{alert.source}:{alert.source_alert_id}", f"alike:{alert.dedupe_key}"]
    return own + _shared(shared)


def _shared(wanted: Iterable[Link]) -> list[str]:
    return [f"link:{kind}:{value}" for kind, value in wanted]


def _taken(alert_id: str, incident_id: str, outcome: str, why: str, count: int, playbooks: Any) -> dict[str, Any]:
    return {
        "alert": alert_id, "incident": incident_id, "outcome": outcome, "why": why, "count": count,
        "playbooks": playbooks,
    }  # fmt: skip


def _replayed(before: Any, digest: str) -> dict[str, Any]:
    if before.body_sha256 != digest:
        raise Conflict("this delivery id was used for another body", delivery=before.delivery_id)
    return {**before.answer, "replayed": True}


def _closed(tx: Tx, incident_id: str) -> bool:
    """Is it closed? Its row is locked to the commit, so that it stays as it is."""
    status = tx.conn.execute(_STATUS, {"incident": incident_id}).scalar_one()
    return bool(status == IncidentStatus.CLOSED.value)


_STATUS = (
    sa.select(incident_table.c.status)
    .where(incident_table.c.id == sa.bindparam("incident"))
    .with_for_update(key_share=True)
)
