"""Runs and the playbooks they began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.playbook import cacao_form
from soar.playbook.model import Playbook
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import playbooks, runs


def save_playbook(tx: Tx, playbook: Playbook, *, current: bool = True) -> bool:
    """Keep a playbook under its digest; True when it was new. `current` makes it the slug's newest."""
    known = tx.conn.execute(sa.select(playbooks.c.digest).where(playbooks.c.digest == playbook.digest)).first()
    if known is None:
        tx.conn.execute(
            playbooks.insert().values(
                digest=playbook.digest, playbook_id=playbook.id, slug=playbook.slug, name=playbook.name,
                document=cacao_form.to_document(playbook), loaded_at=tx.now, current=False,
            )
        )  # fmt: skip
    if current:
        mine = playbooks.c.slug == playbook.slug
        tx.conn.execute(playbooks.update().where(mine).values(current=playbooks.c.digest == playbook.digest))
    return known is None


_DOCUMENT = sa.select(playbooks.c.document).where(playbooks.c.digest == sa.bindparam("wanted"))
_READ: dict[str, Playbook] = {}
"""Playbooks read before. A digest names one content for ever, so nothing here grows old."""
_MANY = 256


def playbook(conn: sa.Connection, digest: str) -> Playbook:
    """The playbook with this digest; raises NotFound."""
    found = _READ.get(digest)
    if found is None:
        document = conn.execute(_DOCUMENT, {"wanted": digest}).scalar()
        if document is None:
            raise NotFound(f"no playbook with digest {digest}")
        found = cacao_form.from_document(document)
        if len(_READ) >= _MANY:
            _READ.clear()
        _READ[digest] = found
    return found


def current_playbook(conn: sa.Connection, slug: str) -> Playbook:
    """The newest version of a playbook by its short name; raises NotFound."""
    document = conn.execute(
        sa.select(playbooks.c.document).where(playbooks.c.slug == slug, playbooks.c.current)
    ).scalar()
    if document is None:
        known = conn.execute(sa.select(playbooks.c.slug).where(playbooks.c.current)).scalars().all()
        raise NotFound(f"no playbook {slug!r} (known: {', '.join(sorted(known))})")
    return cacao_form.from_document(document)


def current_playbooks(conn: sa.Connection) -> list[Playbook]:
    """The newest version of each playbook."""
    rows = conn.execute(sa.select(playbooks.c.document).where(playbooks.c.current).order_by(playbooks.c.slug))
    return [cacao_form.from_document(document) for document in rows.scalars()]


_RUN = sa.select(runs).where(runs.c.id == sa.bindparam("wanted"))
_LOCKED = _RUN.with_for_update(key_share=True)
_SAVE = Statement(
    runs.update()
    .where(runs.c.id == sa.bindparam("wanted"), runs.c.version == sa.bindparam("known"))
    .values(state=sa.bindparam("to_state"), version=runs.c.version + 1)
)


def get(conn: sa.Connection, run_id: str, *, lock: bool = False) -> Any:
    """One run row; raises NotFound. `lock` keeps others from advancing it until the commit."""
    row = conn.execute(_LOCKED if lock else _RUN, {"wanted": run_id}).first()
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    return row


def save_state(tx: Tx, run_id: str, state: Mapping[str, Any], version: int) -> bool:
    """Keep how far a run is, which locks it to the commit; False when it has moved on from this version."""
    return bool(tx.run(_SAVE, {"wanted": run_id, "known": version, "to_state": state}).rowcount)
