"""Events: how what happened is written down so that a change, a gap or a swap shows.

The bytes of an event are fixed once, as canonical JSON (RFC 8785), and hashed as they stand;
nobody ever canonicalises them again to check them. They hold no redactable value, only a salted
commitment of it: `sha256(salt || canonical value)`. The values live beside them and may be deleted
(redaction) without breaking anything. Each event names the hash of the one before it in its stream.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from soar import canonical
from soar.errors import Problem

VERSION = 1
GENESIS = "0" * 64
"""What the first event of a stream names as the one before it."""


class Kind(StrEnum):
    """Every kind of event, as noun.happening."""

    SYSTEM_STARTED = "system.started"
    SYSTEM_STOPPED = "system.stopped"
    SYSTEM_CLOCK_STEPPED = "system.clock_stepped"
    SYSTEM_WORK_RECLAIMED = "system.work_reclaimed"
    SYSTEM_DELIVERIES_REFUSED = "system.deliveries_refused"
    SYSTEM_SWITCH_SET = "system.switch_set"
    PERSON_ADDED = "person.added"
    PERSON_CHANGED = "person.changed"
    KEY_ISSUED = "key.issued"
    KEY_REVOKED = "key.revoked"
    PLAYBOOK_LOADED = "playbook.loaded"
    DRILL_ENDED = "drill.ended"
    ALERT_RECEIVED = "alert.received"
    ALERT_REPEATED = "alert.repeated"
    ALERT_JOINED = "alert.joined"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_DETERMINED = "incident.determined"
    INCIDENT_DECLARED = "incident.declared"
    INCIDENT_STATUS_SET = "incident.status_set"
    INCIDENT_NOTED = "incident.noted"
    INCIDENT_CLOSED = "incident.closed"
    SCOPE_ADDED = "scope.added"
    SCOPE_CHANGED = "scope.changed"
    OBSERVABLE_ADDED = "observable.added"
    OBSERVABLE_JUDGED = "observable.judged"
    RUN_PROPOSED = "run.proposed"
    RUN_STARTED = "run.started"
    RUN_ENDED = "run.ended"
    RUN_CANCELLED = "run.cancelled"
    RUN_PAUSED = "run.paused"
    RUN_RESUMED = "run.resumed"
    STEP_STARTED = "step.started"
    STEP_ENDED = "step.ended"
    STEP_QUARANTINED = "step.quarantined"
    STEP_RETRIED = "step.retried"
    STEP_SKIPPED = "step.skipped"
    ACTION_MOVED = "action.moved"
    HOLD_PLACED = "hold.placed"
    HOLD_RENEWED = "hold.renewed"
    HOLD_ENDED = "hold.ended"
    HOLD_OVERDUE = "hold.overdue"
    HOLD_ESCALATED = "hold.escalated"
    EFFECT_DRIFTED = "effect.drifted"
    EFFECT_RETURNED = "effect.returned"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_VOTED = "approval.voted"
    APPROVAL_DECIDED = "approval.decided"
    BREAK_GLASS_ASKED = "break_glass.asked"
    BREAK_GLASS_OPENED = "break_glass.opened"
    BREAK_GLASS_ENDED = "break_glass.ended"
    RELEASE_REFUSED = "release.refused"
    DISPOSITION_SET = "disposition.set"
    TASK_OPENED = "task.opened"
    TASK_DONE = "task.done"
    EVIDENCE_ACQUIRED = "evidence.acquired"
    EVIDENCE_READ = "evidence.read"
    EVIDENCE_EXPORTED = "evidence.exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An event ready to be stored: its exact bytes, their hash, and the values with their salts."""

    id: str
    stream: str
    seq: int
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    body: bytes
    hash: str
    prev: str
    values: Mapping[str, tuple[str, Any]]


def stamp(moment: datetime) -> str:
    """UTC, RFC 3339, microseconds, `Z`. Refuses a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be written down")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The reverse of stamp; takes any RFC 3339 time with an offset."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return parsed.astimezone(UTC)


def commitment(salt: str, value: Any) -> str:
    """The commitment of a value under a salt (hex), as hex SHA-256."""
    return hashlib.sha256(bytes.fromhex(salt) + canonical.dumps(value)).hexdigest()


def _committed(said: Any, salt: str, value: Any) -> bool:
    try:
        return bool(said == commitment(salt, value))
    except (ValueError, TypeError, RecursionError):  # what has no canonical form was never committed
        return False


def seal(
    *,
    event_id: str,
    stream: str,
    seq: int,
    prev: str,
    kind: Kind,
    at: datetime,
    recorded_at: datetime,
    actor: str,
    data: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Sealed:
    """Fix an event's bytes. `data` must hold nothing that may ever have to be redacted."""
    salted = {name: (secrets.token_hex(16), value) for name, value in values.items()}
    body = canonical.dumps(
        {
            "v": VERSION,
            "id": event_id,
            "stream": stream,
            "seq": seq,
            "prev": prev,
            "kind": kind.value,
            "at": stamp(at),
            "recorded_at": stamp(recorded_at),
            "actor": actor,
            "data": dict(data),
            "commitments": {name: commitment(salt, value) for name, (salt, value) in salted.items()},
        }
    )
    return Sealed(
        id=event_id,
        stream=stream,
        seq=seq,
        kind=kind.value,
        at=at,
        recorded_at=recorded_at,
        actor=actor,
        body=body,
        hash=hashlib.sha256(body).hexdigest(),
        prev=prev,
        values=salted,
    )


def verify_stream(
    stream: str,
    rows: Iterable[tuple[bytes, Mapping[str, tuple[str, Any]]]],
    beside: Sequence[Mapping[str, Any]] = (),
) -> list[Problem]:
    """Check one stream from its first event: order, links, hashes of the stored bytes, commitments.

    A row is the stored body and the values that still stand beside it; a value that was redacted
    is simply absent. `beside` are, for each row, the columns that repeat what the bytes say (times
    as stamped text, `hash` the SHA-256 of the body); a package has none. Every problem is listed;
    `pointer` is `stream#position`, counted from 0.
    """
    problems: list[Problem] = []
    prev = GENESIS
    for position, (body, values) in enumerate(rows):
        hashed = hashlib.sha256(body).hexdigest()
        where = f"{stream}#{position}"

        def found(code: str, message: str, where: str = where) -> None:
            problems.append(Problem(code=code, message=message, pointer=where))

        try:
            said = json.loads(body)
            links = (said["stream"], said["seq"], said["prev"], dict(said["commitments"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            found("event_unreadable", "the stored bytes are no event")
        else:
            if links[0] != stream:
                found("event_foreign", f"belongs to stream {links[0]}")
            if links[1] != position:
                found("event_out_of_place", f"says it is number {links[1]}")
            if links[2] != prev:
                found("event_link_broken", "does not name the event that stands before it")
            for name, (salt, value) in values.items():
                if not _committed(links[3].get(name), salt, value):
                    found("event_value_changed", f"the value {name!r} is not the one that was committed")
            for name, told in beside[position].items() if position < len(beside) else ():
                if told != (hashed if name == "hash" else said.get(name)):
                    found("event_column_changed", f"the column {name!r} is not what the stored bytes say")
        prev = hashed
    return problems
