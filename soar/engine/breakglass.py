"""Break-glass: for one incident and one hour, two persons let soft guards yield.

One asks and says why, another approves; one of the two is a commander, and they must be apart as
any two voices of an approval are. It is an alarm while it lasts and a review when it ends. Hard
guards never yield, and caps widen in steps (SAFETY section 5).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.errors import Conflict, NotFound, Refused
from soar.events import Kind
from soar.guards.approval import count_votes
from soar.guards.case import YIELDS, ApprovalFacts, Vote
from soar.ids import new_id
from soar.model import ENGINE, Actor, IncidentStatus
from soar.store import actions, incidents, people, streams, tasks, work
from soar.store.session import Tx
from soar.store.tables import actions as action_table
from soar.store.tables import break_glass as table
from soar.store.tables import incidents as incident_table

STANDS = timedelta(minutes=60)
"""How long it is open."""
ANSWER_WITHIN = timedelta(minutes=15)
"""How long a request waits for its second person."""
REVIEW_WITHIN = timedelta(hours=24)
TIMER = "break_glass"
"""The kind of the timer that ends it, or lets a request lapse."""
COMMANDER = "commander"


def ask(tx: Tx, incident_id: str, actor: Actor, reason: str) -> str:
    """A person asks for it; returns its id. Raises NotFound, Conflict, Refused for a service."""
    if actor.kind != "person":
        raise Refused("break-glass is asked for by a person")
    incident = incidents.get(tx.conn, incident_id)
    tx.conn.execute(
        sa.select(incident_table.c.id).where(incident_table.c.id == incident.id).with_for_update(key_share=True)
    )
    if incident.status == IncidentStatus.CLOSED.value:
        raise Conflict("this incident is closed")
    standing = sa.select(table.c.id).where(table.c.incident_id == incident.id, table.c.status.in_(("asked", "open")))
    if tx.conn.execute(standing).first() is not None:
        raise Conflict("break-glass is open or asked for already in this incident")
    glass_id = new_id()
    tx.conn.execute(
        table.insert().values(
            id=glass_id, incident_id=incident.id, status="asked", reason=reason, asker=_voice(tx, actor),
            asked_at=tx.now, approver={}, expires_at=tx.now + ANSWER_WITHIN,
        )
    )  # fmt: skip
    work.arm(tx, tx.now + ANSWER_WITHIN, TIMER, glass_id)
    _tell(tx, get(tx.conn, glass_id), Kind.BREAK_GLASS_ASKED, actor, reason)
    return glass_id


def approve(tx: Tx, glass_id: str, actor: Actor, reason: str) -> None:
    """The second person lets it open for an hour; an alarm task says so.

    Raises Conflict when nothing waits for this, Refused when the two are not apart or none is a commander.
    """
    row = _waiting(tx, glass_id)
    voice = _voice(tx, actor)
    _check_apart(tx, row, voice)
    if COMMANDER not in {*row.asker["roles"], *voice["roles"]}:
        raise Refused("one of the two must have the role commander")
    until = tx.now + STANDS
    _set(tx, row, status="open", approver=voice, opened_at=tx.now, expires_at=until)
    work.arm(tx, until, TIMER, row.id)
    _tell(tx, get(tx.conn, row.id), Kind.BREAK_GLASS_OPENED, actor, reason)
    text = f"Break-glass is open until {until.isoformat(timespec='seconds')}: soft guards yield. {row.reason}"
    tasks.open_task(tx, row.incident_id, kind="break_glass_alarm", text=text, asks={"seen_by": "str"})


def deny(tx: Tx, glass_id: str, actor: Actor, reason: str) -> None:
    """A person says no; the request is over. Raises Conflict when nothing waits for this."""
    _close(tx, _waiting(tx, glass_id), "denied", actor, reason)


def end(tx: Tx, glass_id: str, actor: Actor, reason: str) -> None:
    """Close it before its hour is over. Raises Conflict unless it is open."""
    row = get(tx.conn, glass_id, lock=True)
    if row.status != "open":
        raise Conflict(f"this break-glass is {row.status}")
    _close(tx, row, "ended", actor, reason)


def time_out(tx: Tx, glass_id: str) -> None:
    """Its timer came due: a request lapses, an open one ends. One that was prolonged or is over stays as it is."""
    row = get(tx.conn, glass_id, lock=True)
    if row.status in ("asked", "open") and tx.now >= row.expires_at:
        if row.status == "asked":
            _close(tx, row, "lapsed", ENGINE, "no second person answered in time")
        else:
            _close(tx, row, "ended", ENGINE, "its time is over")


def get(conn: sa.Connection, glass_id: str, *, lock: bool = False) -> Any:
    """One break-glass; raises NotFound."""
    query = sa.select(table).where(table.c.id == glass_id)
    row = conn.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None:
        raise NotFound(f"no break-glass {glass_id!r}")
    return row


def in_force(conn: sa.Connection, incident_id: str, now: datetime) -> Any | None:
    """The break-glass that is open for an incident now. Its end counts even where its timer is late."""
    return conn.execute(
        sa.select(table).where(table.c.incident_id == incident_id, table.c.status == "open", table.c.expires_at > now)
    ).first()


def canaries(conn: sa.Connection, glass: Any, verb: str) -> int:
    """How many actions of a verb went beyond a cap under this break-glass and were verified."""
    query = sa.select(action_table.c.guards).where(
        action_table.c.incident_id == glass.incident_id, action_table.c.verb == verb,
        action_table.c.called_at >= glass.opened_at, action_table.c.verified_at.is_not(None),
    )  # fmt: skip
    return sum(any(_yielded(each, "caps") for each in found) for found in conn.execute(query).scalars())


def _yielded(finding: Any, guard: str = "") -> bool:
    """A guard let this through because of break-glass."""
    return finding["reason"].endswith(YIELDS) and guard in ("", finding["guard"])


def _waiting(tx: Tx, glass_id: str) -> Any:
    row = get(tx.conn, glass_id, lock=True)
    if row.status != "asked" or tx.now >= row.expires_at:
        raise Conflict(f"this break-glass is {'lapsed' if row.status == 'asked' else row.status}; ask anew")
    return row


def _voice(tx: Tx, actor: Actor) -> dict[str, Any]:
    """Who speaks, as they are now: roles, and who armed them today."""
    granted_by = sorted(people.issuers_of_day(tx.conn, actor.id, tx.now))
    set_up = people.set_up_until(tx.conn)
    return {
        "id": actor.id, "kind": actor.kind, "roles": sorted(actor.roles), "granted_by": granted_by,
        "setting_up": set_up is not None and tx.now < set_up,
    }  # fmt: skip


def _check_apart(tx: Tx, row: Any, second: dict[str, Any]) -> None:
    """Raises Refused unless these are two persons, and neither armed the other, nor one hand both, today."""
    voters = tuple(
        Vote(
            person_id=each["id"], kind="person" if each["kind"] == "person" else "service", decision="approve",
            digest=row.id, granted_by=frozenset(each["granted_by"]), setting_up=each["setting_up"],
        )
        for each in (row.asker, second)
    )  # fmt: skip
    count = count_votes(
        ApprovalFacts(digest=row.id, required=2, voters=voters), starter="", confirmer="", digest=row.id
    )
    if not count.granted:
        why = "; ".join(f"{people.named(tx.conn, who)}: {said}" for who, said in count.ignored)
        raise Refused(f"two persons apart from each other must agree: {why}")


def _close(tx: Tx, row: Any, status: str, actor: Actor, reason: str) -> None:
    """It is over. What was open is reviewed by somebody, with all that was done under it."""
    _set(tx, row, status=status, ended_at=tx.now, ended_by=actor.id, end_reason=reason)
    _tell(tx, get(tx.conn, row.id), Kind.BREAK_GLASS_ENDED, actor, reason)
    if row.status != "open":
        return
    for alarm in tasks.find(tx.conn, incident_id=row.incident_id, kind="break_glass_alarm", status="open"):
        tasks.close(tx, alarm, ENGINE, {"ended": reason})
    done = [
        f"{each.verb} on {each.target_name}"
        for each in actions.find(tx.conn, incident_id=row.incident_id)
        if each.called_at and each.called_at >= row.opened_at and any(map(_yielded, each.guards))
    ]
    text = f"Break-glass has ended. Asked for because: {row.reason}. Done under it: {', '.join(done) or 'nothing'}"
    tasks.open_task(
        tx, row.incident_id, kind="break_glass_review", text=text, asks={"verdict": "str"},
        within=REVIEW_WITHIN.total_seconds(),
    )  # fmt: skip


def _set(tx: Tx, row: Any, **columns: Any) -> None:
    tx.conn.execute(table.update().where(table.c.id == row.id).values(**columns))
    work.disarm(tx, TIMER, row.id)


def _tell(tx: Tx, row: Any, kind: Kind, actor: Actor, reason: str) -> None:
    """In the incident's stream, and in the house's own."""
    data = {"break_glass": row.id, "status": row.status, "until": row.expires_at.isoformat()}
    incidents.event(tx, row.incident_id, kind, actor=actor, data=data, values={"reason": reason})
    house = {**data, "incident": row.incident_id}
    streams.append(tx, streams.SYSTEM, kind, actor=actor, data=house, values={"reason": reason})
