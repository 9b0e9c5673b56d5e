"""Takes evidence in while an action runs: bytes to the vault at once, rows in the outcome commit.

The bytes of an item are hashed while they stream in and are on disk before the action's outcome is
committed; if that commit never comes, the blob belongs to nobody and is swept. The item's row, its
first custody entry and its event are one commit with the action's new state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

import sqlalchemy as sa

from evidence.custody import CustodyEntry
from soar.errors import NotFound
from soar.events import Kind
from soar.ids import new_id
from soar.model import Actor, Item, StoredItem
from soar.ports import Clock, Vault
from soar.store import incidents, locks, people
from soar.store.session import Store, Tx
from soar.store.tables import custody, evidence_items

VAULT = "vault"
"""Who holds an item once it is taken in."""


class VaultCustodian:
    """Makes a collection for each action (soar.ports.Custodian)."""

    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self.store = store
        self.vault = vault
        self.clock = clock

    def collect(self, *, incident_id: str, action_id: str, target: str, actor: str) -> VaultCollection:
        return VaultCollection(self, incident_id, action_id, target, actor)


class VaultCollection:
    """What one action hands in (soar.ports.Collection)."""

    def __init__(self, custodian: VaultCustodian, incident_id: str, action_id: str, target: str, actor: str) -> None:
        self._custodian = custodian
        self._incident_id = incident_id
        self._action_id = action_id
        self._target = target
        self._actor = actor
        self._taken: list[StoredItem] = []

    def put(self, item: Item, content: BinaryIO) -> StoredItem:
        sha256, sha512, size = self._custodian.vault.put(content)
        acquired = item.acquired_at or self._custodian.clock.now()
        stored = StoredItem(
            id=new_id(), item=replace(item, acquired_at=acquired), sha256=sha256, sha512=sha512, size=size
        )
        self._taken.append(stored)
        return stored

    def open(self, item_id: str) -> BinaryIO:
        return self._custodian.vault.open(self.describe(item_id).sha256)

    def describe(self, item_id: str) -> StoredItem:
        for stored in self._taken:
            if stored.id == item_id:
                return stored
        with self._custodian.store.read() as conn:
            return stored_item(conn, item_id)

    def record(self, tx: Tx) -> Sequence[StoredItem]:
        for stored in self._taken:
            self._record(tx, stored)
        return self._taken

    def _record(self, tx: Tx, stored: StoredItem) -> None:
        item = stored.item
        locks.hold(tx, [f"exhibits:{self._incident_id}"])
        count = tx.conn.execute(
            sa.select(sa.func.count()).where(evidence_items.c.incident_id == self._incident_id)
        ).scalar_one()
        number = incidents.get(tx.conn, self._incident_id).number
        exhibit = f"INC-{number}-E{count + 1:04d}"
        tx.conn.execute(
            evidence_items.insert().values(
                id=stored.id, incident_id=self._incident_id, action_id=self._action_id, exhibit=exhibit,
                name=item.name, evidence_class=item.evidence_class, source=item.source, path=item.path,
                method=item.method, tool=item.tool, sha256=stored.sha256, sha512=stored.sha512, size=stored.size,
                source_sha256=item.source_sha256, acquired_at=item.acquired_at, stored_at=tx.now,
            )
        )  # fmt: skip
        compared = "hash at source unknown"
        if item.source_sha256:
            compared = (
                "equal to the hash at source" if item.source_sha256 == stored.sha256 else "NOT the hash at source"
            )
        add_custody(
            tx,
            CustodyEntry(
                item_id=stored.id, seq=0, act="acquired", actor=people.told(tx.conn, self._actor),
                at=item.acquired_at or tx.now,
                purpose="preserve what containment and clean-up would destroy", method=item.method, tool=item.tool,
                place=item.source, to=VAULT, hash_after=stored.sha256, detail=f"{exhibit}; {compared}",
            ),
        )  # fmt: skip
        incidents.event(
            tx, self._incident_id, Kind.EVIDENCE_ACQUIRED, at=item.acquired_at,
            data={
                "item": stored.id, "exhibit": exhibit, "class": item.evidence_class, "sha256": stored.sha256,
                "size": stored.size, "action": self._action_id,
            },
            values={"target": self._target, "name": item.name, "path": item.path},
        )  # fmt: skip


def add_custody(tx: Tx, entry: CustodyEntry) -> None:
    """Append an entry to an item's chain."""
    tx.conn.execute(custody.insert().values(id=new_id(), item_id=entry.item_id, seq=entry.seq, entry=entry.as_plain()))


def handle(tx: Tx, item_id: str, act: str, actor: Actor, purpose: str, *, to: str = "") -> None:
    """Somebody reads or exports an item: the next entry of its chain, and an event. Raises NotFound."""
    row = tx.conn.execute(
        sa.select(evidence_items).where(evidence_items.c.id == item_id).with_for_update(key_share=True)
    ).first()
    if row is None:
        raise NotFound(f"no evidence item {item_id!r}")
    before = custody_of(tx.conn, item_id)
    # Who waited for the item began before the one whose entry stands last.
    at = max(tx.now, before[-1].at) if before else tx.now
    entry = CustodyEntry(
        item_id=item_id, seq=len(before), act=act, actor=str(actor), at=at, purpose=purpose, to=to,
        hash_before=row.sha256, hash_after=row.sha256,
    )  # fmt: skip
    add_custody(tx, entry)
    kind = Kind.EVIDENCE_EXPORTED if act == "exported" else Kind.EVIDENCE_READ
    incidents.event(
        tx, row.incident_id, kind, actor=actor, data={"item": item_id, "act": act, "sha256": row.sha256},
        values={"purpose": purpose, "to": to},
    )  # fmt: skip


def stored_item(conn: sa.Connection, item_id: str) -> StoredItem:
    """One item by its id; raises NotFound."""
    row = conn.execute(sa.select(evidence_items).where(evidence_items.c.id == item_id)).first()
    if row is None:
        raise NotFound(f"no evidence item {item_id!r}")
    return from_row(row)


def from_row(row: object) -> StoredItem:
    """A row of `evidence_items` as a value."""
    plain = dict(row._mapping)  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's documented name
    acquired: datetime = plain["acquired_at"]
    names = ("name", "evidence_class", "source", "path", "method", "tool", "source_sha256")
    item = Item(**{name: plain[name] for name in names}, acquired_at=acquired)
    return StoredItem(
        id=plain["id"], item=item, sha256=plain["sha256"], sha512=plain["sha512"], size=int(plain["size"])
    )


def custody_of(conn: sa.Connection, item_id: str) -> list[CustodyEntry]:
    """An item's chain, from its acquisition on."""
    rows = conn.execute(sa.select(custody.c.entry).where(custody.c.item_id == item_id).order_by(custody.c.seq))
    return [CustodyEntry.from_plain(entry) for entry in rows.scalars()]
