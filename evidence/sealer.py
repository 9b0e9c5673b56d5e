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
from soar.store.session import Store, Tx
from soar.store.tables import checkpoints, events, leaves, unsealed

log = structlog.get_logger("soar.sealer")
EVERY_SECONDS = 2.0


class Sealer:
    """Seals one database's events. Exactly one may run; on one machine the process's own is it."""

    def __init__(self, store: Store, signer: Signer, origin: str, folder: Path) -> None:
        self.store = store
        self.signer = signer
        self.origin = origin
        self.folder = folder
        self._lock = threading.Lock()
        self._tree: Tree | None = None

    def seal(self) -> str | None:
        """Seal everything that waits; returns the new signed note, or None when nothing waited."""
        with self._lock:
            known = self._tree or self._load()
            grown, note = self.store.write(lambda tx: self._drain(tx, known))
            self._tree = grown
            if note is not None:
                write_whole(self.folder / f"checkpoint-{grown.size:012d}.txt", note.encode())
            return note

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

    def _load(self) -> Tree:
        tree = Tree()
        with self.store.read() as conn:
            for hashed in conn.execute(sa.select(leaves.c.hash).order_by(leaves.c.leaf_index)).scalars():
                tree.append_hash(bytes.fromhex(hashed))
        return tree

    def _drain(self, tx: Tx, known: Tree) -> tuple[Tree, str | None]:
        """The tree as it is after this commit, and its note; the tree that was known is left as it is."""
        waiting = tx.conn.execute(
            sa.select(events.c.id, events.c.body)
            .join(unsealed, unsealed.c.event_id == events.c.id)
            .order_by(events.c.id)
        ).all()
        if not waiting:
            return known, None
        tree = Tree(known.size, known.frontier)
        rows = []
        for event in waiting:
            hashed = leaf_hash(bytes(event.body))
            rows.append({"leaf_index": tree.append_hash(hashed), "event_id": event.id, "hash": hashed.hex()})
        tx.conn.execute(leaves.insert(), rows)
        tx.conn.execute(unsealed.delete().where(unsealed.c.event_id.in_([row["event_id"] for row in rows])))
        root = tree.root()
        note = sign(Checkpoint(self.origin, tree.size, root), self.signer)
        tx.conn.execute(checkpoints.insert().values(size=tree.size, root=root.hex(), note=note, signed_at=tx.now))
        return tree, note


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
