"""Alerts and deliveries in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.ids import new_id
from soar.model import Alert, IncidentStatus
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import alerts, deliveries, incidents

_PAGE = 50


def delivery(conn: sa.Connection, source: str, delivery_id: str) -> Any | None:
    """A delivery that came in before: its id, the digest of its body, and the answer."""
    return _DELIVERY.run(conn, {"sender": source, "told": delivery_id}).first()


def keep_delivery(
    tx: Tx, source: str, delivery_id: str, body_sha256: str, answer: Mapping[str, Any], raw: bytes | None = None
) -> None:
    """Remember a delivery and what was answered, so that a replay gets the same. `raw` is its body, if it is small."""
    row = {
        "id": new_id(), "source": source, "delivery_id": delivery_id, "body_sha256": body_sha256,
        "received_at": tx.now, "answer": dict(answer), "raw": raw,
    }  # fmt: skip
    tx.run(_KEEP_DELIVERY, row)


def get(conn: sa.Connection, alert_id: str) -> Any:
    """One alert; raises NotFound."""
    row = conn.execute(_ALERT, {"alert": alert_id}).first()
    if row is None:
        raise NotFound(f"no alert {alert_id!r}")
    return row


def known(tx: Tx, alert: Alert, since: datetime) -> tuple[Any | None, Any | None]:
    """What is known of it: the finding that the source told us of by its own id, the newest one if it came
    again after a close; and the newest alert of the same rule on the same entities since then.

    The rows have `status` and `number` of their incidents, which are locked to the commit.
    """
    asked = {"sender": alert.source, "own": alert.source_alert_id, "dedupe": alert.dedupe_key, "since": since}
    rows = tx.run(_KNOWN, asked).all()
    same = next(
        (row for row in rows if (row.source, row.source_alert_id) == (alert.source, alert.source_alert_id)), None
    )
    if same is not None and same.status == IncidentStatus.CLOSED.value:
        same = _newest(tx, alert) or same
    alike = [row for row in rows if row.dedupe_key == alert.dedupe_key and row.last_seen >= since]
    return same, max(alike, key=lambda row: (row.last_seen, row.id), default=None)


def differs(known: Any, alert: Alert) -> bool:
    """Does the source say something else now than what is stored?"""
    return bool(known.facts != dict(alert.facts) or alert.severity.id > known.severity_id)


def update(tx: Tx, known: Any, alert: Alert) -> None:
    """Take over what the source says now; the severity is only ever raised."""
    severity = max(known.severity_id, alert.severity.id)
    tx.run(_UPDATE, {"alert": known.id, "said": dict(alert.facts), "severity": severity})


def count_again(tx: Tx, alert_id: str) -> int:
    """One more of the same; returns the count."""
    return int(tx.run(_COUNT, {"alert": alert_id, "now": tx.now}).first().count)


def insert(tx: Tx, alert: Alert, incident_id: str, raw_sha256: str, joined_why: str, before: Any | None = None) -> str:
    """Store a new alert in its incident; returns its id.

    `before` is the same finding in a closed incident: this one's source id gets `#2`, `#3` and so on.
    """
    alert_id, own_id = new_id(), alert.source_alert_id
    if before is not None:
        own_id = f"{own_id}#{_place(before, alert) + 1}"
    row = {
        "id": alert_id, "incident_id": incident_id, "source": alert.source, "source_alert_id": own_id,
        "dedupe_key": alert.dedupe_key, "rule_id": alert.rule_id, "title": alert.title,
        "severity_id": alert.severity.id, "occurred_at": alert.occurred_at, "first_seen": tx.now, "last_seen": tx.now,
        "count": 1, "facts": dict(alert.facts), "raw_sha256": raw_sha256, "joined_why": joined_why,
    }  # fmt: skip
    tx.run(_INSERT, row)
    return alert_id


def _newest(tx: Tx, alert: Alert) -> Any | None:
    """The last one of this finding that came again after a close (`#2`, `#3` ...)."""
    newest, start = None, 2
    while True:
        names = [f"{alert.source_alert_id}#{number}" for number in range(start, start + _PAGE)]
        rows = tx.run(_AGAIN, {"sender": alert.source, "names": names}).all()
        newest = max(rows, key=lambda row: _place(row, alert), default=newest)
        if len(rows) < _PAGE:
            return newest
        start += _PAGE


def _place(row: Any, alert: Alert) -> int:
    """Which one of its finding a row is, counted from 1."""
    return int(row.source_alert_id[len(alert.source_alert_id) + 1 :] or "1")


_DELIVERY = Statement(
    sa.select(deliveries.c.delivery_id, deliveries.c.body_sha256, deliveries.c.answer).where(
        deliveries.c.source == sa.bindparam("sender"), deliveries.c.delivery_id == sa.bindparam("told")
    )
)
_KEEP_DELIVERY = Statement(deliveries.insert())
_ALERT = sa.select(alerts).where(alerts.c.id == sa.bindparam("alert"))
_WITH_INCIDENT = sa.select(
    alerts.c.id, alerts.c.incident_id, alerts.c.source, alerts.c.source_alert_id, alerts.c.dedupe_key,
    alerts.c.severity_id, alerts.c.last_seen, alerts.c.facts, incidents.c.status, incidents.c.number,
).join(incidents, incidents.c.id == alerts.c.incident_id)  # fmt: skip
_KNOWN = Statement(
    _WITH_INCIDENT.where(
        sa.or_(
            sa.and_(alerts.c.source == sa.bindparam("sender"), alerts.c.source_alert_id == sa.bindparam("own")),
            sa.and_(alerts.c.dedupe_key == sa.bindparam("dedupe"), alerts.c.last_seen >= sa.bindparam("since")),
        )
    ).with_for_update(of=incidents, key_share=True)
)
_AGAIN = _WITH_INCIDENT.where(
    alerts.c.source == sa.bindparam("sender"), alerts.c.source_alert_id.in_(sa.bindparam("names", expanding=True))
).with_for_update(of=incidents, key_share=True)
_INSERT = Statement(alerts.insert())
_UPDATE = Statement(
    alerts.update()
    .where(alerts.c.id == sa.bindparam("alert"))
    .values(facts=sa.bindparam("said"), severity_id=sa.bindparam("severity"))
)
_COUNT = Statement(
    alerts.update()
    .where(alerts.c.id == sa.bindparam("alert"))
    .values(count=alerts.c.count + 1, last_seen=sa.bindparam("now"))
    .returning(alerts.c.count)
)
