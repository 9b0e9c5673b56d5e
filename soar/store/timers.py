"""Taking timers: each that is due is taken once, by whoever looks first, in the commit that does its work.

On PostgreSQL several nodes look at once. Each takes the earliest timer that nobody else is just
firing (SKIP LOCKED), so that none waits for another. A node that freezes in the middle of firing
keeps one timer: its session is ended by the server, and the timer is free again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.store.session import Tx
from soar.store.tables import due
from soar.store.work import ARMED

ELSEWHERE = ("resolve", "drift")
"""Kinds whose work asks the outside world: threads of their own look after them."""
# As text in the statement: a plan for every value would take it that hardly any timer passes, and read them all.
_HERE = due.c.kind.not_in([sa.literal_column(f"'{kind}'") for kind in ELSEWHERE])
LOCK_WAIT = "200ms"
"""How long firing waits for a row (a run, an incident) that somebody else is writing."""
IDLE = "5s"
"""How long a poller may keep a transaction open without a word (it is frozen)."""
_PATIENCE = sa.select(
    sa.func.set_config("lock_timeout", sa.bindparam("wait"), True),
    sa.func.set_config("idle_in_transaction_session_timeout", sa.bindparam("idle"), True),
)
"""For this transaction only."""


def take_next(tx: Tx) -> Any | None:
    """The earliest timer that is due and that nobody else is firing, marked as fired; None without one."""
    if tx.postgres:
        tx.run(_PATIENCE, {"wait": LOCK_WAIT, "idle": IDLE})
    query = (
        sa.select(due)
        .where(due.c.state == ARMED, due.c.at <= tx.now, _HERE)
        .order_by(due.c.at)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    timer = tx.run(query).first()
    if timer is not None:
        tx.run(due.update().where(due.c.id == timer.id).values(state="fired"))
    return timer


def put_off(tx: Tx, timer_id: str, by: timedelta) -> None:
    """Let a timer that could not fire wait, so that it holds up no other."""
    tx.run(due.update().where(due.c.id == timer_id, due.c.state == ARMED).values(at=tx.now + by))


def next_at(conn: sa.Connection) -> datetime | None:
    """When the poller's next timer becomes due; None while nothing waits."""
    query = sa.select(due.c.at).where(due.c.state == ARMED, _HERE).order_by(due.c.at)
    at: datetime | None = conn.execute(query.limit(1)).scalar()
    return at


def recur(tx: Tx, kind: str, every: timedelta) -> str | None:
    """Take the earliest due timer of a kind that never ends: it is due again later. Its ref, or None."""
    query = sa.select(due.c.id, due.c.ref).where(due.c.state == ARMED, due.c.kind == kind, due.c.at <= tx.now)
    timer = tx.run(query.order_by(due.c.at).limit(1).with_for_update(skip_locked=True, key_share=True)).first()
    if timer is None:
        return None
    tx.run(due.update().where(due.c.id == timer.id).values(at=tx.now + every))
    return str(timer.ref)


def bring_forward(tx: Tx, kind: str, ref: str) -> bool:
    """Make a recurring timer due now; False when there is none for this row."""
    return bool(tx.run(due.update().where(due.c.kind == kind, due.c.ref == ref).values(at=tx.now)).rowcount)
