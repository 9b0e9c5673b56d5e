"""The log of everything: its newest checkpoint, and a check of all of it against what was signed."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.views.base import ProblemItem
from api.views.house import Audit, CheckpointView
from api.wiring import House
from evidence.merkle import Tree, leaf_hash
from evidence.note import verify_note
from soar.errors import Invalid, Problem
from soar.model import Actor
from soar.store import streams
from soar.store.tables import checkpoints, events, leaves, unsealed

router = APIRouter(prefix="/audit", tags=["audit"])
Auditor = Annotated[Actor, needs("audit.read")]


@router.get("/checkpoint", summary="Read the newest signed checkpoint")
def checkpoint(house: TheHouse, _: Auditor) -> CheckpointView:
    """A C2SP signed note over the whole log. Keep it elsewhere: it proves what stood here now."""
    with house.store.read() as conn:
        head = _newest(conn)
    return CheckpointView(
        note=head.note if head else None, size=head.size if head else 0, verifier_key=house.signer.verifier_key()
    )


@router.get("/verify", summary="Verify every stream and the log")
def verify(house: TheHouse, _: Auditor) -> Audit:
    """Links, hashes, commitments and columns of each stream, and the root over the stored bytes against the
    signed one. Every event must be in the log or wait for it, and every leaf must have its event."""
    with house.store.read() as conn:
        names = list(streams.names(conn))
        count = 0
        problems: list[Problem] = []
        for name in names:
            length, found = streams.verify(conn, name)
            count += length
            problems += found
        problems += _strays(conn)
        head = _newest(conn)
        if head is not None:
            problems += _tree(conn, house, head)
    items = [ProblemItem(**problem.as_dict()) for problem in problems]
    return Audit(streams=len(names), events=count, size=head.size if head else 0, problems=items)


def _newest(conn: sa.Connection) -> Any:
    return conn.execute(sa.select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()


def _tree(conn: sa.Connection, house: House, head: Any) -> list[Problem]:
    """Recompute the root from the events' bytes, never from stored hashes."""
    try:
        signed = verify_note(head.note, house.signer.key_name, house.signer.public_key)
    except Invalid as error:
        return list(error.problems)
    tree = Tree()
    rows = conn.execute(
        sa.select(leaves.c.leaf_index, leaves.c.hash, events.c.body)
        .outerjoin(events, events.c.id == leaves.c.event_id)
        .where(leaves.c.leaf_index < signed.size)
        .order_by(leaves.c.leaf_index)
    )
    problems: list[Problem] = []
    for row in rows:
        if row.body is None or row.leaf_index != tree.size:
            return [*problems, _problem("leaf_missing", f"leaf {tree.size} of the log is gone, or its event is")]
        if row.hash != leaf_hash(bytes(row.body)).hex():
            problems.append(_problem("leaf_differs", f"leaf {tree.size} of the log is not of its event's bytes"))
        tree.append(bytes(row.body))
    if (tree.size, tree.root()) != (signed.size, signed.root):
        why = f"the stored events give another root than the one signed at {signed.size}"
        problems.append(_problem("root_differs", why))
    return problems


def _strays(conn: sa.Connection) -> list[Problem]:
    """Events outside the log that do not wait for it either, what has no event, and leaves nobody signed."""
    outside = conn.execute(
        sa.select(events.c.stream, events.c.seq)
        .outerjoin(leaves, leaves.c.event_id == events.c.id)
        .outerjoin(unsealed, unsealed.c.event_id == events.c.id)
        .where(leaves.c.event_id.is_(None), unsealed.c.event_id.is_(None))
        .order_by(events.c.stream, events.c.seq)
    )
    found = [
        Problem(
            code="event_unlogged", message="is neither in the log nor waiting for it", pointer=f"{row.stream}#{row.seq}"
        )
        for row in outside
    ]
    for table, what in ((leaves, "a leaf of the log"), (unsealed, "what waits to be sealed")):
        alone = sa.select(table.c.event_id).outerjoin(events, events.c.id == table.c.event_id)
        gone = conn.execute(alone.where(events.c.id.is_(None)).order_by(table.c.event_id)).scalars()
        found += [_problem("event_missing", f"{what} names the event {each}, which is gone") for each in gone]
    sizes = sa.select(
        sa.select(sa.func.count()).select_from(leaves).scalar_subquery().label("leaves"),
        sa.select(sa.func.coalesce(sa.func.max(checkpoints.c.size), 0)).scalar_subquery().label("signed"),
    )
    size = conn.execute(sizes).one()
    if size.leaves > size.signed:
        found.append(_problem("leaf_unsigned", f"the log has {size.leaves} leaves, {size.signed} of them are signed"))
    return found


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, pointer="log")
