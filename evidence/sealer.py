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

from evidence.durable import write_whole
from evidence.merkle import Levels, Tree, leaf_hash
from evidence.note import Checkpoint, sign
from soar.errors import SoarError
from soar.ports import Signer
from soar.store import locks
from soar.store.session import Store, Tx
from soar.store.tables import checkpoints, events, leaves, unsealed

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
        except SoarError as error:
            log.warning("sealing_failed", reason=error.message)

    def _drain(self, tx: Tx, known: Tree) -> tuple[Tree, str | None, bool]:
        """The tree after this commit, its note, and whether more waits; the tree that was known is left as it is.

        Another node may have sealed since: its leaves are read first, under the lock that only one holds.
        """
        if not locks.hold_if_free(tx, _TURN):
            return known, None, False
        waiting = tx.run(_WAITING).all()
        if not waiting:
            return known, None, False
        tree = Tree(known.size, known.frontier)
        for hashed in tx.run(_LEAVES, {"size": tree.size}).scalars():
            tree.append_hash(bytes.fromhex(hashed))
        rows = []
        for event in waiting:
            hashed = leaf_hash(bytes(event.body))
            rows.append({"leaf_index": tree.append_hash(hashed), "event_id": event.id, "hash": hashed.hex()})
        tx.run(_LEAF, rows)
        tx.run(_SEALED, [{"sealed": row["event_id"]} for row in rows])
        root = tree.root()
        note = sign(Checkpoint(self.origin, tree.size, root), self.signer)
        tx.run(_CHECKPOINT, {"size": tree.size, "root": root.hex(), "note": note, "signed_at": tx.now})
        return tree, note, len(waiting) == MOST


_TURN = "sealer"
_WAITING = (
    sa.select(events.c.id, events.c.body)
    .join(unsealed, unsealed.c.event_id == events.c.id)
    .order_by(events.c.id)
    .limit(MOST)
)
_LEAVES = sa.select(leaves.c.hash).where(leaves.c.leaf_index >= sa.bindparam("size")).order_by(leaves.c.leaf_index)
_LEAF, _CHECKPOINT = leaves.insert(), checkpoints.insert()
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
