"""Nodes: the processes that share this database. Each says now and then that it lives; nothing depends on it.

What a dead one held is found by its claims, not here: these rows are for people, and for the doctor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from soar.store.session import Tx
from soar.store.tables import nodes

LIVING = timedelta(seconds=15)
"""A node that was not heard of for so long is taken for gone."""
FORGOTTEN = timedelta(days=1)
"""After so long its row is removed."""


@dataclass(frozen=True, slots=True)
class Node:
    """One process: `kind` is serve or worker."""

    id: str
    kind: str
    host: str
    pid: int


def seen(tx: Tx, node: Node, *, dropped: int = 0, silent: int = 0) -> None:
    """The node lives. `dropped`: messages it could make nothing of; `silent`: threads of it that have ended."""
    said = {"seen_at": tx.now, "dropped": dropped, "silent": silent}
    if not tx.conn.execute(nodes.update().where(nodes.c.id == node.id).values(**said)).rowcount:
        fixed = {"id": node.id, "kind": node.kind, "host": node.host, "pid": node.pid, "started_at": tx.now}
        tx.conn.execute(nodes.insert().values(**fixed, **said))
        tx.conn.execute(nodes.delete().where(nodes.c.seen_at < tx.now - FORGOTTEN))


def gone(tx: Tx, node_id: str) -> None:
    """The node has ended in order."""
    tx.conn.execute(nodes.delete().where(nodes.c.id == node_id))


def living(conn: sa.Connection, now: Any) -> Sequence[Any]:
    """The rows of the nodes that were heard of lately, oldest first."""
    return conn.execute(sa.select(nodes).where(nodes.c.seen_at > now - LIVING).order_by(nodes.c.started_at)).all()
