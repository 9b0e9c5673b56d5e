"""The log of everything: its newest checkpoint, and a check of all of it against what was signed."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.views.base import ProblemItem
from api.views.house import Audit, CheckpointView
from api.wiring import House
from evidence.merkle import Tree
from evidence.note import verify_note
from soar.errors import Invalid, Problem
from soar.events import verify_stream
from soar.model import Actor
from soar.store import streams
from soar.store.tables import checkpoints, events, leaves

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
    """Links, hashes and commitments of each stream, and the root over the stored bytes against the signed one."""
    with house.store.read() as conn:
        names = list(streams.names(conn))
        count = 0
        problems: list[Problem] = []
        for name in names:
            bodies = streams.bodies(conn, name)
            count += len(bodies)
            problems += verify_stream(name, bodies)
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
        sa.select(leaves.c.leaf_index, events.c.body)
        .outerjoin(events, events.c.id == leaves.c.event_id)
        .where(leaves.c.leaf_index < signed.size)
        .order_by(leaves.c.leaf_index)
    )
    for row in rows:
        if row.body is None or row.leaf_index != tree.size:
            return [_problem("leaf_missing", f"leaf {tree.size} of the log has no event any more")]
        tree.append(bytes(row.body))
    if (tree.size, tree.root()) != (signed.size, signed.root):
        return [_problem("root_differs", f"the stored events give another root than the one signed at {signed.size}")]
    return []


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, pointer="log")
