"""Work rows and timers: what is to be done, by whom it is held, and what becomes due when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.errors import StaleFence
from soar.ids import new_id
from soar.store.rows import WorkRow
from soar.store.session import Tx
from soar.store.tables import due, work

CLAIM = timedelta(seconds=60)
"""How long a claim holds unless its worker lengthens it."""
ABANDONED = "abandoned"


def add(
    tx: Tx, run_id: str, *, occurrence: str, attempt: int, kind: str, step_id: str, branch: str, priority: int
) -> str:
    """Add a ready row (or find it) and ring for it once the commit stands."""
    found = tx.conn.execute(
        sa.select(work.c.id).where(work.c.run_id == run_id, work.c.occurrence == occurrence, work.c.attempt == attempt)
    ).scalar()
    if found:
        return str(found)
    work_id = new_id()
    tx.conn.execute(
        work.insert().values(
            id=work_id, run_id=run_id, occurrence=occurrence, attempt=attempt, kind=kind, step_id=step_id,
            branch=branch, state="ready", priority=priority, fence=0, created_at=tx.now, notes={},
        )
    )  # fmt: skip
    tx.ring(work_id)
    return work_id


def claim(tx: Tx, owner: str, boot: str) -> WorkRow | None:
    """Take the best ready row, by priority and age; its fence goes up by one."""
    best = (
        sa.select(work.c.id)
        .where(work.c.state == "ready")
        .order_by(work.c.priority.desc(), work.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = tx.conn.execute(best).scalar()
    if found is None:
        return None
    tx.conn.execute(
        work.update()
        .where(work.c.id == found)
        .values(state="claimed", owner=owner, boot=boot, fence=work.c.fence + 1, claimed_until=tx.now + CLAIM)
    )
    return WorkRow.from_row(tx.conn.execute(sa.select(work).where(work.c.id == found)).one())


def check_fence(tx: Tx, row: WorkRow) -> None:
    """Raises StaleFence unless this claim is still the row's newest; the lock is kept to the commit."""
    now = tx.conn.execute(sa.select(work.c.fence, work.c.state).where(work.c.id == row.id).with_for_update()).one()
    if now.fence != row.fence or now.state != "claimed":
        raise StaleFence(f"work {row.id} was taken over (fence {row.fence}, now {now.fence}, {now.state})")


def park(tx: Tx, row: WorkRow, notes: Mapping[str, Any] | None = None) -> None:
    """Let go of a row that waits for something; it costs nobody anything until it is woken.

    A wake that came while the row was still held is not lost: the row is ready again at once.
    """
    check_fence(tx, row)
    said = {**_notes(tx, row.id), **(notes or {})}
    rung = said.pop("rung", False)
    state = "ready" if rung else "parked"
    tx.conn.execute(work.update().where(work.c.id == row.id).values(state=state, owner=None, notes=said))
    if rung:
        tx.ring(row.id)


def wake(tx: Tx, work_id: str) -> bool:
    """Make a parked row ready again; one that is held is marked, so that it cannot park on what it read.

    False when there was nobody to wake (a late or doubled wake).
    """
    woken = tx.conn.execute(work.update().where(work.c.id == work_id, work.c.state == "parked").values(state="ready"))
    if woken.rowcount:
        tx.ring(work_id)
        return True
    held = sa.select(work.c.notes).where(work.c.id == work_id, work.c.state == "claimed").with_for_update()
    notes = tx.conn.execute(held).scalar()
    if notes is not None:
        tx.conn.execute(work.update().where(work.c.id == work_id).values(notes={**notes, "rung": True}))
    return notes is not None


def done(tx: Tx, row: WorkRow) -> None:
    """End a row that this worker holds."""
    check_fence(tx, row)
    tx.conn.execute(work.update().where(work.c.id == row.id).values(state="done", owner=None))


def abandon(tx: Tx, run_id: str, occurrence: str, attempt: int) -> str | None:
    """The conductor waits for this row no more; returns its id.

    Nothing new is begun for it, but what was sent must come to its outcome: whoever holds the row
    goes on to settle that, and a row that nobody holds is made ready for the same.
    """
    where = (work.c.run_id == run_id, work.c.occurrence == occurrence, work.c.attempt == attempt)
    row = tx.conn.execute(sa.select(work).where(*where, work.c.state != "done").with_for_update()).first()
    if row is None:
        return None
    state = row.state if row.state == "claimed" else "ready"
    notes = {**row.notes, ABANDONED: True}
    tx.conn.execute(work.update().where(work.c.id == row.id).values(state=state, notes=notes))
    tx.ring(row.id)
    return str(row.id)


def is_abandoned(tx: Tx, row: WorkRow) -> bool:
    """Nothing new may be begun for this row."""
    return bool(_notes(tx, row.id).get(ABANDONED))


def extend(tx: Tx, held: Collection[str]) -> None:
    """Lengthen the claims of rows whose workers are alive."""
    if held:
        tx.conn.execute(
            work.update()
            .where(work.c.id.in_(list(held)), work.c.state == "claimed")
            .values(claimed_until=tx.now + CLAIM)
        )


def free_expired(tx: Tx) -> int:
    """Free claims that nobody has lengthened: their workers are gone. The fence keeps a late one out."""
    expired = (
        tx.conn.execute(sa.select(work.c.id).where(work.c.state == "claimed", work.c.claimed_until <= tx.now))
        .scalars()
        .all()
    )
    for work_id in expired:
        tx.conn.execute(
            work.update().where(work.c.id == work_id).values(state="ready", owner=None, fence=work.c.fence + 1)
        )
        tx.ring(work_id)
    return len(expired)


def _notes(tx: Tx, work_id: str) -> dict[str, Any]:
    return dict(tx.conn.execute(sa.select(work.c.notes).where(work.c.id == work_id)).scalar_one())


def reclaim(tx: Tx) -> int:
    """Free every claim. Only for the process that owns the database alone: claims are a dead one's."""
    freed = tx.conn.execute(work.update().where(work.c.state == "claimed").values(state="ready", owner=None))
    for work_id in tx.conn.execute(sa.select(work.c.id).where(work.c.state == "ready")).scalars():
        tx.ring(work_id)
    return int(freed.rowcount)


def arm(tx: Tx, at: datetime, kind: str, ref: str, generation: int = 0, data: Mapping[str, Any] | None = None) -> str:
    """Set a timer: at that time, this kind of thing is due for this row."""
    timer = new_id()
    tx.conn.execute(
        due.insert().values(
            id=timer, at=at, kind=kind, ref=ref, generation=generation, data=dict(data or {}), state="armed"
        )
    )
    tx.ring("")
    return timer


def disarm(tx: Tx, kind: str, ref: str) -> None:
    """Drop the timers of a kind for a row."""
    tx.conn.execute(due.delete().where(due.c.kind == kind, due.c.ref == ref, due.c.state == "armed"))


def due_now(conn: sa.Connection, now: datetime) -> str | None:
    """The id of the earliest timer whose time has come."""
    query = sa.select(due.c.id).where(due.c.state == "armed", due.c.at <= now).order_by(due.c.at).limit(1)
    found: str | None = conn.execute(query).scalar()
    return found


def take(tx: Tx, timer_id: str) -> Any | None:
    """A timer, marked as fired; None when another poller took it first."""
    taken = tx.conn.execute(due.update().where(due.c.id == timer_id, due.c.state == "armed").values(state="fired"))
    return tx.conn.execute(sa.select(due).where(due.c.id == timer_id)).one() if taken.rowcount else None


def postpone(tx: Tx, timer_id: str, by: timedelta) -> None:
    """Put a timer off, so that one that cannot fire holds up no other."""
    tx.conn.execute(due.update().where(due.c.id == timer_id, due.c.state == "armed").values(at=tx.now + by))


def next_due(conn: sa.Connection) -> datetime | None:
    """When the next timer becomes due."""
    at: datetime | None = conn.execute(
        sa.select(due.c.at).where(due.c.state == "armed").order_by(due.c.at).limit(1)
    ).scalar()
    return at
