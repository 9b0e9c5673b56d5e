"""Alerts and deliveries in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.ids import new_id
from soar.model import Alert
from soar.store.session import Tx
from soar.store.tables import alerts, deliveries


def delivery(conn: sa.Connection, source: str, delivery_id: str) -> Any | None:
    """A delivery that came in before."""
    return conn.execute(
        sa.select(deliveries).where(deliveries.c.source == source, deliveries.c.delivery_id == delivery_id)
    ).first()


def keep_delivery(tx: Tx, source: str, delivery_id: str, body_sha256: str, answer: Mapping[str, Any]) -> None:
    """Remember a delivery and what was answered, so that a replay gets the same."""
    tx.conn.execute(
        deliveries.insert().values(
            id=new_id(), source=source, delivery_id=delivery_id, body_sha256=body_sha256, received_at=tx.now,
            answer=dict(answer),
        )
    )  # fmt: skip


def get(conn: sa.Connection, alert_id: str) -> Any:
    """One alert; raises NotFound."""
    row = conn.execute(sa.select(alerts).where(alerts.c.id == alert_id)).first()
    if row is None:
        raise NotFound(f"no alert {alert_id!r}")
    return row


def same_finding(conn: sa.Connection, alert: Alert) -> Any | None:
    """The alert that the source already told us of, by its own id; the newest one, if it came again after a close."""
    told = _told(conn, alert)
    return told[max(told)] if told else None


def duplicate(conn: sa.Connection, alert: Alert, since: datetime) -> Any | None:
    """An alert of the same rule on the same entities within the window, newest first."""
    query = sa.select(alerts).where(alerts.c.dedupe_key == alert.dedupe_key, alerts.c.last_seen >= since)
    return conn.execute(query.order_by(alerts.c.last_seen.desc(), alerts.c.id.desc()).limit(1)).first()


def differs(known: Any, alert: Alert) -> bool:
    """Does the source say something else now than what is stored?"""
    return bool(known.facts != dict(alert.facts) or alert.severity.id > known.severity_id)


def update(tx: Tx, known: Any, alert: Alert) -> None:
    """Take over what the source says now; the severity is only ever raised."""
    tx.conn.execute(
        alerts.update()
        .where(alerts.c.id == known.id)
        .values(facts=dict(alert.facts), severity_id=max(known.severity_id, alert.severity.id))
    )


def count_again(tx: Tx, alert_id: str) -> int:
    """One more of the same; returns the count."""
    tx.conn.execute(alerts.update().where(alerts.c.id == alert_id).values(count=alerts.c.count + 1, last_seen=tx.now))
    return int(tx.conn.execute(sa.select(alerts.c.count).where(alerts.c.id == alert_id)).scalar_one())


def insert(tx: Tx, alert: Alert, incident_id: str, raw_sha256: str, joined_why: str) -> str:
    """Store a new alert in its incident. A source id that stands in a closed one gets `#2`, `#3` and so on."""
    alert_id = new_id()
    told = _told(tx.conn, alert)
    own_id = f"{alert.source_alert_id}#{max(told) + 1}" if told else alert.source_alert_id
    tx.conn.execute(
        alerts.insert().values(
            id=alert_id, incident_id=incident_id, source=alert.source, source_alert_id=own_id,
            dedupe_key=alert.dedupe_key, rule_id=alert.rule_id, title=alert.title, severity_id=alert.severity.id,
            occurred_at=alert.occurred_at, first_seen=tx.now, last_seen=tx.now, count=1, facts=dict(alert.facts),
            raw_sha256=raw_sha256, joined_why=joined_why,
        )
    )  # fmt: skip
    return alert_id


def _told(conn: sa.Connection, alert: Alert) -> dict[int, Any]:
    """Every alert of this source id: 1 is the first, those behind (`#2` ...) came after a close."""
    own = alert.source_alert_id
    named = sa.or_(alerts.c.source_alert_id == own, alerts.c.source_alert_id.startswith(f"{own}#", autoescape=True))
    found = {}
    for row in conn.execute(sa.select(alerts).where(alerts.c.source == alert.source, named)):
        number = str(row.source_alert_id)[len(own) + 1 :] or "1"
        if number.isascii() and number.isdecimal() and len(number) < 10:
            found[int(number)] = row
    return found if 1 in found else {}
