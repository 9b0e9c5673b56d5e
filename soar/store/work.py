"""Work rows and timers: what is to be done, by whom it is held, and what becomes due when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.errors import StaleFence
from soar.ids import new_id
from soar.store.rows import WorkRow
from soar.store.session import Tx
from soar.store.statement import Statement, literally
from soar.store.tables import due, runs, work

CLAIM = timedelta(seconds=60)
"""How long a claim holds unless its worker lengthens it."""
ABANDONED = "abandoned"
RUNG = "rung"
"""Noted on a claimed row that was woken: it cannot park on what its worker has read."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who claims: the worker's name, the boot of its machine, and for how long its claims hold."""

    name: str
    boot: str = ""
    claim: timedelta = CLAIM


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker must know before it begins anything new for its row."""

    abandoned: bool
    paused: bool
    overtaken: bool
    """Something of a higher priority is ready."""


# As text in the statement, not as a parameter: a plan that PostgreSQL keeps for every value takes "ready" for as
# frequent as "done", and reads the whole table.
_READY: sa.ColumnElement[str] = sa.literal_column("'ready'")
_CLAIMED: sa.ColumnElement[str] = sa.literal_column("'claimed'")
_DONE_STATE: sa.ColumnElement[str] = sa.literal_column("'done'")
ARMED: sa.ColumnElement[str] = sa.literal_column("'armed'")

FRESH = Standing(abandoned=False, paused=False, overtaken=False)
"""Of a row that was just made in the same transaction."""

_SAME = Statement(
    sa.select(work.c.id).where(
        work.c.run_id == sa.bindparam("run"),
        work.c.occurrence == sa.bindparam("visit"),
        work.c.attempt == sa.bindparam("tries"),
    )
)
# On PostgreSQL, where workers stand on several machines, claims count the server's time.
_UNTIL = {False: sa.bindparam("until"), True: sa.func.clock_timestamp() + sa.bindparam("until", type_=sa.Interval)}
_ADD = Statement(work.insert())
_ADD_HELD = {postgres: Statement(work.insert().values(claimed_until=until)) for postgres, until in _UNTIL.items()}


def add(
    tx: Tx, run_id: str, *, occurrence: str, attempt: int, kind: str, step_id: str, branch: str, priority: int,
    owner: Owner | None = None,
) -> WorkRow | None:  # fmt: skip
    """Add a ready row and ring for it once the commit stands; None when it is there already.

    With an owner it is that worker's at once, and nobody is rung.
    """
    if owner is None and tx.run(_SAME, {"run": run_id, "visit": occurrence, "tries": attempt}).first():
        return None
    work_id = new_id()
    row: dict[str, Any] = {
        "id": work_id, "run_id": run_id, "occurrence": occurrence, "attempt": attempt, "kind": kind,
        "step_id": step_id, "branch": branch, "state": "claimed" if owner else "ready", "priority": priority,
        "fence": 1 if owner else 0, "created_at": tx.now, "notes": {}, "losses": 0,
        "owner": owner.name if owner else None, "boot": owner.boot if owner else None, "claimed_until": None,
    }  # fmt: skip
    if owner:
        tx.run(_ADD_HELD[tx.postgres], {**row, "until": _until(tx, owner.claim)})
    else:
        tx.run(_ADD, row)
        tx.ring(work_id)
    return WorkRow.of(row)


_TOP = sa.select(sa.func.max(work.c.priority)).where(work.c.state == _READY).scalar_subquery()
_FREE = sa.select(work).where(work.c.state == _READY).limit(1).with_for_update(skip_locked=True, key_share=True)
_BEST = Statement(_FREE.where(work.c.priority == _TOP).order_by(work.c.id))
_ANY = Statement(_FREE.order_by(work.c.priority.desc(), work.c.id))
_CLAIM = {
    postgres: Statement(
        work.update()
        .where(work.c.id == sa.bindparam("row"))
        .values(
            state="claimed", owner=sa.bindparam("by"), boot=sa.bindparam("at_boot"), fence=sa.bindparam("to_fence"),
            claimed_until=until,
        )
    )
    for postgres, until in _UNTIL.items()
}  # fmt: skip


def claim(tx: Tx, owner: Owner) -> WorkRow | None:
    """Take the best ready row, by priority and age; its fence goes up by one."""
    best = tx.run(_BEST, {}).first() or (tx.run(_ANY, {}).first() if tx.postgres else None)
    if best is None:
        return None
    fence = best.fence + 1
    mine = {"row": best.id, "by": owner.name, "at_boot": owner.boot, "to_fence": fence}
    tx.run(_CLAIM[tx.postgres], {**mine, "until": _until(tx, owner.claim)})
    return WorkRow.of({**best._asdict(), "fence": fence})


def any_ready(conn: sa.Connection) -> bool:
    """There is work that nobody holds."""
    return conn.execute(_ONE_READY).first() is not None


_ONE_READY = sa.select(work.c.id).where(work.c.state == _READY).limit(1)
_HIGHER = sa.alias(work, "higher")
_STANDING = Statement(
    sa.select(
        work.c.fence, work.c.state, work.c.notes, runs.c.status, runs.c.version,
        sa.exists().where(_HIGHER.c.state == _READY, _HIGHER.c.priority > work.c.priority).label("overtaken"),
    )
    .join_from(runs, work, runs.c.id == work.c.run_id)
    .where(work.c.id == sa.bindparam("row"))
    .with_for_update(of=[runs, work], key_share=True)
)  # fmt: skip


def check_fence(tx: Tx, row: WorkRow) -> Standing:
    """Raises StaleFence unless this claim is still the row's newest; the locks are kept to the commit.

    The run is locked first, as by whoever votes, cancels or fires a timer: one order for everybody.
    """
    now = tx.run(_STANDING, {"row": row.id}).first()
    tx.locked[row.run_id] = now.version
    if now.fence != row.fence or now.state != "claimed":
        raise StaleFence(f"work {row.id} was taken over (fence {row.fence}, now {now.fence}, {now.state})")
    return Standing(bool(now.notes.get(ABANDONED)), now.status == "paused", bool(now.overtaken))


_HELD = sa.select(work.c.fence, work.c.state, work.c.notes, runs.c.status).join_from(
    work, runs, runs.c.id == work.c.run_id
)


def still_held(conn: sa.Connection, row: WorkRow) -> bool:
    """This claim is the row's newest, and neither the row nor its run was stopped."""
    now = conn.execute(_HELD.where(work.c.id == row.id)).one()
    mine = now.fence == row.fence and now.state == "claimed"
    return bool(mine and not now.notes.get(ABANDONED) and now.status != "paused")


def park(tx: Tx, row: WorkRow, notes: Mapping[str, Any] | None = None) -> bool:
    """Let go of a row that waits for something; it costs nobody anything until it is woken.

    A wake that came while the row was still held is not lost: the row is ready again at once, and
    False is returned, since it waits for nothing now.
    """
    check_fence(tx, row)
    said = {**_notes(tx, row.id), **(notes or {})}
    rung = said.pop(RUNG, False)
    state = "ready" if rung else "parked"
    tx.run(work.update().where(work.c.id == row.id).values(state=state, owner=None, notes=said, losses=0))
    if rung:
        tx.ring(row.id)
    return not rung


def older(conn: sa.Connection, than: datetime, most: int = 100) -> list[tuple[str, str]]:
    """Run and occurrence of open work that was made before that time, oldest first."""
    mine = sa.select(work.c.run_id, work.c.occurrence).join_from(work, runs, runs.c.id == work.c.run_id)
    open_work = work.c.state.in_(literally(("parked", "ready", "claimed")))
    late = mine.where(open_work, work.c.created_at < than, runs.c.status == "running").order_by(work.c.id).limit(most)
    return [(row.run_id, row.occurrence) for row in conn.execute(late)]


def wake(tx: Tx, work_id: str) -> bool:
    """Make a parked row ready again; one that is held is marked, so that it cannot park on what it read.

    False when there was nobody to wake (a late or doubled wake).
    """
    # Locked by its id alone: a condition on its state would be asked of the row as it was before the wait
    # for its lock, and pass over what is just being parked.
    locked = sa.select(work.c.state, work.c.notes).where(work.c.id == work_id).with_for_update(key_share=True)
    row = tx.run(locked).first()
    if row is None or row.state not in ("parked", "claimed"):
        return False
    mine = work.update().where(work.c.id == work_id)
    if row.state == "claimed":
        tx.run(mine.values(notes={**row.notes, RUNG: True}))
        return True
    tx.run(mine.values(state="ready"))
    tx.ring(work_id)
    return True


_DONE = Statement(work.update().where(work.c.id == sa.bindparam("row")).values(state="done", owner=None))


def done(tx: Tx, row: WorkRow) -> None:
    """End a row that this worker holds, as `check_fence` has said in this transaction."""
    tx.run(_DONE, {"row": row.id})


def abandon(tx: Tx, run_id: str, occurrence: str, attempt: int) -> str | None:
    """The conductor waits for this row no more; returns its id.

    Nothing new is begun for it, but what was sent must come to its outcome: whoever holds the row
    goes on to settle that (one that is about to park looks again), and a row that nobody holds is
    made ready for the same.
    """
    where = (work.c.run_id == run_id, work.c.occurrence == occurrence, work.c.attempt == attempt)
    row = tx.conn.execute(sa.select(work).where(*where).with_for_update(key_share=True)).first()
    if row is None or row.state == "done":
        return None
    held = row.state == "claimed"
    notes = {**row.notes, ABANDONED: True, **({RUNG: True} if held else {})}
    state = row.state if held else "ready"
    tx.conn.execute(work.update().where(work.c.id == row.id).values(state=state, notes=notes))
    tx.ring(row.id)
    return str(row.id)


def hold(tx: Tx, run_id: str) -> None:
    """Lock the open work of a run to the commit, so that no worker stores an intent of it meanwhile."""
    mine = sa.select(work.c.id).where(work.c.run_id == run_id, work.c.state != _DONE_STATE).order_by(work.c.id)
    tx.conn.execute(mine.with_for_update(key_share=True)).all()


_LENGTHEN = {
    postgres: Statement(
        work.update()
        .where(work.c.id == sa.bindparam("row"), work.c.state == _CLAIMED)
        .values(claimed_until=until)
    )
    for postgres, until in _UNTIL.items()
}  # fmt: skip


def extend(tx: Tx, held: Collection[str], claim: timedelta = CLAIM) -> None:
    """Lengthen the claims of rows whose workers are alive.

    On PostgreSQL all of it is one message: a process that is frozen in its midst would else hold the rows that
    others must free.
    """
    for row in sorted(held):
        tx.run(_LENGTHEN[tx.postgres], {"row": row, "until": _until(tx, claim)})


def free_expired(tx: Tx) -> int:
    """Free claims that nobody has lengthened: their workers are gone. The fence keeps a late one out."""
    expired = sa.select(work.c.id).where(work.c.state == _CLAIMED, work.c.claimed_until <= _now(tx))
    return _free(tx, expired)


def reclaim(tx: Tx) -> int:
    """Free every claim. Only for the process that owns the database alone: claims are a dead one's.

    Each counts as a loss. A house that closes in order lets its workers end what they hold, so that
    what is still claimed at the next start was cut off.
    """
    freed = _free(tx, sa.select(work.c.id).where(work.c.state == _CLAIMED))
    if any_ready(tx.conn):
        tx.ring("")
    return freed


def let_go(tx: Tx, owner: Owner) -> int:
    """Free what a worker claimed and does not hold any more (it could not write that it let go).

    No loss: the worker is alive, the database was away.
    """
    return _free(tx, sa.select(work.c.id).where(work.c.state == _CLAIMED, work.c.owner == owner.name), losses=0)


def _free(tx: Tx, which: sa.Select[Any], losses: int = 1) -> int:
    """Each time a worker is lost counts against the row: one that kills its workers must end."""
    freed = tx.conn.execute(which.with_for_update(skip_locked=True, key_share=True)).scalars().all()
    for work_id in freed:
        tx.conn.execute(
            work.update()
            .where(work.c.id == work_id)
            .values(state="ready", owner=None, fence=work.c.fence + 1, losses=work.c.losses + losses)
        )
        tx.ring(work_id)
    return len(freed)


def _notes(tx: Tx, work_id: str) -> dict[str, Any]:
    return dict(tx.run(sa.select(work.c.notes).where(work.c.id == work_id)).scalar_one())


def _now(tx: Tx) -> Any:
    """The time that claims count."""
    return sa.func.clock_timestamp() if tx.postgres else tx.now


def _until(tx: Tx, claim: timedelta) -> Any:
    """What the statements of a claim take for its end."""
    return claim if tx.postgres else tx.now + claim


def arm(tx: Tx, at: datetime, kind: str, ref: str, generation: int = 0, data: Mapping[str, Any] | None = None) -> str:
    """Set a timer: at that time, this kind of thing is due for this row."""
    timer = new_id()
    row = {"id": timer, "at": at, "kind": kind, "ref": ref, "generation": generation, "data": dict(data or {})}
    tx.run(_ARM, {**row, "state": "armed"})
    tx.ring("")
    return timer


_ARM = Statement(due.insert())


def disarm(tx: Tx, kind: str, ref: str) -> None:
    """Drop the timers of a kind for a row."""
    tx.conn.execute(due.delete().where(due.c.kind == kind, due.c.ref == ref, due.c.state == ARMED))
