"""The sealer: drains new events into one log and signs checkpoints over it.

Events commit in any order and from any worker; each commit leaves a row in `unsealed`. One sealer
gives them their places as leaves (RFC 6962) and signs the tree's head (C2SP tlog-checkpoint). The
note is also written to a second place: one file beside the database protects against little, so
everything says `unwitnessed` until another host holds a checkpoint.
"""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from evidence.durable import write_whole
from evidence.merkle import Levels, Tree, leaf_hash
from evidence.note import Checkpoint, sign
from soar.errors import SoarError
from soar.ports import Signer
from soar.store import locks
from soar.store.session import Store, Tx
from soar.store.statement import Statement
from soar.store.tables import checkpoints, events, leaves, meta, unsealed

log = structlog.get_logger("soar.sealer")
EVERY_SECONDS = 2.0
MOST = 2_000
"""At most so many events are sealed in one commit, so that a flood of them keeps no other writer waiting."""


class Sealer:
    """Seals one database's events. Every node has one; whose turn it is, the others leave alone."""

    def __init__(self, store: Store, signer: Signer, origin: str, folder: Path) -> None:
        self.store = store
        self.signer = signer
        self.origin = origin
        self.folder = folder
        self._lock = threading.Lock()
        self._tree = Tree()

    def seal(self) -> str | None:
        """Seal everything that waits; returns the newest signed note, or None when there was nothing to do here."""
        newest = None
        with self._lock:
            while True:
                known = self._tree
                self._tree, note, more = self.store.write(lambda tx, known=known: self._drain(tx, known))  # type: ignore[misc]
                if note is not None:
                    newest = note
                    write_whole(self.folder / f"checkpoint-{self._tree.size:012d}.txt", note.encode())
                if not more:
                    return newest

    def run(self, stop: threading.Event) -> None:
        """Seal every few seconds until told to stop, and once more then."""
        while not stop.wait(EVERY_SECONDS):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self.seal()
        except (SoarError, SQLAlchemyError) as error:
            log.warning("sealing_failed", reason=str(error).partition("\n")[0])

    def _drain(self, tx: Tx, known: Tree) -> tuple[Tree, str | None, bool]:
        """The tree after this commit, its note, and whether more waits; the tree that was known is left as it is.

        Another node may have sealed since: its leaves are read first, under the lock that only one holds.
        """
        if not locks.hold_if_free(tx, _TURN):
            return known, None, False
        waiting = tx.run(_WAITING, {}).all()
        if not waiting:
            return known, None, False
        tree = _grown(tx, known)
        rows = []
        for event in waiting:
            hashed = leaf_hash(bytes(event.body))
            rows.append({"leaf_index": tree.append_hash(hashed), "event_id": event.id, "hash": hashed.hex()})
        tx.run(_LEAF, rows)
        tx.run(_SEALED, [{"sealed": row["event_id"]} for row in rows])
        _keep(tx, tree)
        root = tree.root()
        note = sign(Checkpoint(self.origin, tree.size, root), self.signer)
        tx.run(_CHECKPOINT, {"size": tree.size, "root": root.hex(), "note": note, "signed_at": tx.now})
        return tree, note, len(waiting) == MOST


def _grown(tx: Tx, known: Tree) -> Tree:
    """The tree as it stands: from the kept frontier where that is newer and fits the signed root, else from leaves."""
    tree = Tree(known.size, known.frontier)
    kept = _kept(tx)
    if kept is not None and kept.size > tree.size:
        signed = tx.run(_ROOT, {"size": kept.size}).first()
        if signed is not None and signed.root == kept.root().hex():
            tree = kept
    for row in tx.run(_LEAVES, {"size": tree.size}).all():
        tree.append_hash(bytes.fromhex(row.hash))
    return tree


def _kept(tx: Tx) -> Tree | None:
    """The tree of the kept frontier; None when there is none, or none that can be read."""
    row = tx.run(_KEPT, {}).first()
    try:
        return row and Tree(row.value["size"], [bytes.fromhex(each) for each in row.value["frontier"]])
    except (ValueError, TypeError, KeyError):
        return None


def _keep(tx: Tx, tree: Tree) -> None:
    """Keep the frontier, so that the next start need not read every leaf."""
    value = {"size": tree.size, "frontier": [each.hex() for each in tree.frontier]}
    if not tx.run(_MOVE, {"frontier": value}).rowcount:
        tx.run(_FIRST, {"name": _FRONTIER, "value": value})


_TURN = "sealer"
_FRONTIER = "log frontier"
_WAITING = Statement(
    sa.select(events.c.id, events.c.body)
    .join(unsealed, unsealed.c.event_id == events.c.id)
    .order_by(events.c.id)
    .limit(MOST)
)
_LEAVES = Statement(
    sa.select(leaves.c.hash).where(leaves.c.leaf_index >= sa.bindparam("size")).order_by(leaves.c.leaf_index)
)
_ROOT = Statement(sa.select(checkpoints.c.root).where(checkpoints.c.size == sa.bindparam("size")))
_KEPT = Statement(sa.select(meta.c.value).where(meta.c.name == _FRONTIER))
_MOVE = Statement(meta.update().where(meta.c.name == _FRONTIER).values(value=sa.bindparam("frontier")))
_LEAF, _CHECKPOINT, _FIRST = Statement(leaves.insert()), Statement(checkpoints.insert()), Statement(meta.insert())
_SEALED = unsealed.delete().where(unsealed.c.event_id == sa.bindparam("sealed"))


def proofs(conn: sa.Connection, stream: str, size: int) -> dict[str, tuple[int, list[str]]]:
    """Inclusion proofs of a stream's events in the tree of this size: event id -> (leaf index, path)."""
    hashes = [
        bytes.fromhex(hashed)
        for hashed in conn.execute(
            sa.select(leaves.c.hash).where(leaves.c.leaf_index < size).order_by(leaves.c.leaf_index)
        ).scalars()
    ]
    levels = Levels(hashes)
    mine = conn.execute(
        sa.select(leaves.c.leaf_index, leaves.c.event_id)
        .join(events, events.c.id == leaves.c.event_id)
        .where(events.c.stream == stream, leaves.c.leaf_index < size)
    ).all()
    return {
        row.event_id: (row.leaf_index, [each.hex() for each in levels.inclusion_proof(row.leaf_index)]) for row in mine
    }
