"""Incidents in the database: open, find the one to join, scope, observables, links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from soar.errors import NotFound
from soar.events import Kind
from soar.ids import new_id
from soar.model import (
    ENGINE,
    Actor,
    Determination,
    Entity,
    EntityKind,
    IncidentStatus,
    Observable,
    ScopeStatus,
    Severity,
    Target,
    Verdict,
)
from soar.store import locks, streams
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import alerts, incidents, observables, scope

_PLURAL = {
    "host": "hosts", "account": "accounts", "mailbox": "mailboxes", "key": "keys", "service": "services",
}  # fmt: skip
_NOT_AFFECTED = {ScopeStatus.SUSPECTED.value, ScopeStatus.CLEARED.value}


_LAST_NUMBER = Statement(sa.select(sa.func.coalesce(sa.func.max(incidents.c.number), 0).label("number")))
_OPEN = Statement(incidents.insert())
_NOBODY = dict.fromkeys(("declared_at", "declared_by", "declared_why", "confirmed_by", "closed_at"))


def open_new(tx: Tx, title: str, severity: Severity, actor: Actor, why: str) -> str:
    """Open an incident: suspected, new, in detection. Returns its id."""
    incident_id = new_id()
    locks.hold(tx, ["incident number"])
    number = tx.run(_LAST_NUMBER, {}).first().number + 1
    row = {
        **_NOBODY, "id": incident_id, "number": number, "title": title, "status": IncidentStatus.NEW.value,
        "determination": Determination.SUSPECTED.value, "severity_id": severity.id, "opened_at": tx.now, "version": 1,
    }  # fmt: skip
    tx.run(_OPEN, row)
    event(
        tx, incident_id, Kind.INCIDENT_OPENED, actor=actor,
        data={"incident": incident_id, "number": number, "severity_id": severity.id, "phase": "detection"},
        values={"title": title, "why": why},
    )  # fmt: skip
    return incident_id


def event(tx: Tx, incident_id: str, kind: Kind, **parts: Any) -> str:
    """Write an event to an incident's stream."""
    return streams.append(tx, streams.incident_stream(incident_id), kind, **parts)


_BY_ID = sa.select(incidents).where(incidents.c.id == sa.bindparam("wanted"))
_BY_NUMBER = sa.select(incidents).where(incidents.c.number == sa.bindparam("wanted"))


def get(conn: sa.Connection, incident_id: str, *, lock: bool = False) -> Any:
    """One incident, by id or by number (`INC-7` or `7`); raises NotFound. `lock` keeps it to the commit."""
    number = incident_id.upper().removeprefix("INC-")
    numbered = number.isascii() and number.isdecimal() and len(number) < 10
    query, wanted = (_BY_NUMBER, int(number)) if numbered else (_BY_ID, incident_id)
    row = conn.execute(query.with_for_update(key_share=True) if lock else query, {"wanted": wanted}).first()
    if row is None:
        raise NotFound(f"no incident {incident_id!r}")
    return row


def update(tx: Tx, incident_id: str, **columns: Any) -> None:
    """Change columns; the version (the ETag) goes up by one."""
    tx.conn.execute(
        incidents.update().where(incidents.c.id == incident_id).values(**columns, version=incidents.c.version + 1)
    )


def set_status(tx: Tx, incident_id: str, status: IncidentStatus, actor: Actor) -> None:
    """Move the incident's status (OCSF 2005) on, with its event."""
    update(tx, incident_id, status=status.value)
    event(tx, incident_id, Kind.INCIDENT_STATUS_SET, actor=actor, data={"status": status.value})


def add_scope(
    tx: Tx, incident_id: str, entity: Entity, status: ScopeStatus, as_of: datetime, actor: Actor = ENGINE
) -> bool:
    """Put a resolved thing into scope once; True when it is new there."""
    plain: dict[str, Any] = {name: getattr(entity, name) for name in _ENTITY}
    plain["known_since"] = entity.known_since.isoformat() if entity.known_since else None
    row = {
        "id": new_id(), "incident_id": incident_id, "kind": entity.kind.value, "entity_id": entity.id,
        "name": entity.name, "status": status.value, "resolved_by": entity.source, "as_of": as_of,
        "known_since": entity.known_since, "entity": plain, "added_at": tx.now,
    }  # fmt: skip
    if not tx.run(_ADD_SCOPE[tx.postgres], row).rowcount:
        return False
    event(
        tx, incident_id, Kind.SCOPE_ADDED, actor=actor, data={"status": status.value, "resolved_by": entity.source},
        values={"scope": f"{entity.kind.value}:{entity.id}", "name": entity.name},
    )  # fmt: skip
    return True


def set_scope(tx: Tx, incident_id: str, target: str, status: ScopeStatus, actor: Actor = ENGINE, why: str = "") -> None:
    """Move a scope row on; nothing happens when the target is not in scope or stands there already."""
    kind, _, entity_id = target.partition(":")
    where = (scope.c.incident_id == incident_id, scope.c.kind == kind, scope.c.entity_id == entity_id)
    changed = tx.conn.execute(scope.update().where(*where, scope.c.status != status.value).values(status=status.value))
    if changed.rowcount:
        event(
            tx, incident_id, Kind.SCOPE_CHANGED, actor=actor, data={"status": status.value},
            values={"scope": target, "why": why},
        )  # fmt: skip


_SCOPE = sa.select(scope).where(scope.c.incident_id == sa.bindparam("of")).order_by(scope.c.id)
_SCOPE_ROW = Statement(
    sa.select(scope).where(
        scope.c.incident_id == sa.bindparam("of"),
        scope.c.kind == sa.bindparam("of_kind"),
        scope.c.entity_id == sa.bindparam("named"),
    )
)
_ADD_SCOPE = {
    False: Statement(sqlite.insert(scope).on_conflict_do_nothing()),
    True: Statement(postgresql.insert(scope).on_conflict_do_nothing()),
}
_ENTITY = tuple(each.name for each in fields(Entity))


def scope_rows(conn: sa.Connection, incident_id: str) -> list[Any]:
    """The scope of an incident, in the order in which it grew."""
    return list(conn.execute(_SCOPE, {"of": incident_id}))


def scope_row(conn: sa.Connection, incident_id: str, target: Target) -> Any | None:
    """What the scope of an incident says of one target."""
    return _SCOPE_ROW.run(conn, {"of": incident_id, "of_kind": target.kind.value, "named": target.id}).first()


_NAME = Statement(
    sa.select(scope.c.name).where(
        scope.c.incident_id == sa.bindparam("of"),
        scope.c.kind == sa.bindparam("of_kind"),
        scope.c.entity_id == sa.bindparam("named"),
    )
)


def scope_name(conn: sa.Connection, incident_id: str, target: Target) -> str:
    """What people call a target of this incident; empty when it is not in scope."""
    found = _NAME.run(conn, {"of": incident_id, "of_kind": target.kind.value, "named": target.id}).first()
    return str(found.name) if found is not None else ""


def entity_of(row: Any) -> Entity:
    """The entity that a scope row was resolved to."""
    plain: dict[str, Any] = dict(row.entity)
    since = plain["known_since"]
    plain |= {name: tuple(plain[name]) for name in ("addresses", "tags", "groups")}
    plain |= {"kind": EntityKind(plain["kind"]), "known_since": datetime.fromisoformat(since) if since else None}
    return Entity(**plain)


def add_observable(tx: Tx, incident_id: str, found: Observable, actor: Actor = ENGINE) -> bool:
    """Note an observable once; True when it is new."""
    row = {
        "id": new_id(), "incident_id": incident_id, "type": found.type, "value": found.value,
        "verdict": found.verdict.value, "confidence": found.confidence, "judged_by": "", "added_at": tx.now,
    }  # fmt: skip
    if not tx.run(_OBSERVED[tx.postgres], row).rowcount:
        return False
    event(tx, incident_id, Kind.OBSERVABLE_ADDED, actor=actor, data={"type": found.type}, values={"value": found.value})
    return True


_OBSERVED = {
    False: Statement(sqlite.insert(observables).on_conflict_do_nothing()),
    True: Statement(postgresql.insert(observables).on_conflict_do_nothing()),
}
_OBSERVABLES = Statement(
    sa.select(observables).where(observables.c.incident_id == sa.bindparam("of")).order_by(observables.c.id)
)


def judge_observable(tx: Tx, incident_id: str, observable_id: str, verdict: Verdict, confidence: int, by: str) -> None:
    """Write down what a look-up found of an observable."""
    kind, _, value = observable_id.partition(":")
    where = (observables.c.incident_id == incident_id, observables.c.type == kind, observables.c.value == value)
    changed = tx.conn.execute(
        observables.update().where(*where).values(verdict=verdict.value, confidence=confidence, judged_by=by)
    )
    if changed.rowcount:
        event(
            tx, incident_id, Kind.OBSERVABLE_JUDGED,
            data={"type": kind, "verdict": verdict.value, "confidence": confidence, "by": by}, values={"value": value},
        )  # fmt: skip


def observables_of(conn: sa.Connection, incident_id: str) -> list[Observable]:
    """The observables of an incident, oldest first."""
    return [
        Observable(type=row.type, value=row.value, verdict=Verdict(row.verdict), confidence=row.confidence)
        for row in _OBSERVABLES.run(conn, {"of": incident_id}).all()
    ]


def facts(conn: sa.Connection, incident_id: str) -> Mapping[str, Any]:
    """What conditions may speak of: `alert:` (the newest one), `incident:` and `scope:`, as plain data."""
    row = _FACTS.run(conn, {"of": incident_id}).first()
    if row is None:
        raise NotFound(f"no incident {incident_id!r}")
    newest = _NEWEST.run(conn, {"of": incident_id}).first()
    rows = _IN_SCOPE.run(conn, {"of": incident_id}).all()
    of_kind: dict[str, Any] = {}
    for name, plural in _PLURAL.items():
        mine = [each for each in rows if each.kind == name]
        of_kind[plural] = {
            "all": [each.entity_id for each in mine],
            "affected": [each.entity_id for each in mine if each.status not in _NOT_AFFECTED],
        }
    return {
        "alert": (newest and newest.facts) or {},
        "incident": {
            "id": row.id, "severity_id": row.severity_id, "determination": row.determination, "status": row.status,
            "observables": [each.id for each in observables_of(conn, incident_id)],
        },
        "scope": of_kind,
    }  # fmt: skip


_FACTS = Statement(
    sa.select(incidents.c.id, incidents.c.severity_id, incidents.c.determination, incidents.c.status).where(
        incidents.c.id == sa.bindparam("of")
    )
)
_NEWEST = Statement(
    sa.select(alerts.c.facts).where(alerts.c.incident_id == sa.bindparam("of")).order_by(alerts.c.id.desc()).limit(1)
)
_IN_SCOPE = Statement(
    sa.select(scope.c.kind, scope.c.entity_id, scope.c.status)
    .where(scope.c.incident_id == sa.bindparam("of"))
    .order_by(scope.c.id)
)
