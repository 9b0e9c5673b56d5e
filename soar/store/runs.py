"""Runs and the playbooks they began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from soar.errors import NotFound
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.store.session import Tx
from soar.store.statement import Statement, literally
from soar.store.tables import playbooks, runs, work


def save_playbook(tx: Tx, playbook: Playbook, *, current: bool = True) -> bool:
    """Keep a playbook under its digest; True when it was new. `current` makes it the slug's newest."""
    known = tx.conn.execute(sa.select(playbooks.c.digest).where(playbooks.c.digest == playbook.digest)).first()
    if known is None:
        tx.conn.execute(
            playbooks.insert().values(
                digest=playbook.digest, playbook_id=playbook.id, slug=playbook.known_as, name=playbook.name,
                document=cacao_form.to_document(playbook), loaded_at=tx.now, current=False,
            )
        )  # fmt: skip
    if current:
        mine = playbooks.c.slug == playbook.known_as
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


_OF_ID = sa.select(runs).where(runs.c.id == sa.bindparam("wanted"))
_RUN, _LOCKED = Statement(_OF_ID), Statement(_OF_ID.with_for_update(key_share=True))
_SAVE = Statement(
    runs.update()
    .where(runs.c.id == sa.bindparam("wanted"), runs.c.version == sa.bindparam("known"))
    .values(state=sa.bindparam("to_state"), version=runs.c.version + 1)
)


def get(conn: sa.Connection, run_id: str, *, lock: bool = False) -> Any:
    """One run row; raises NotFound. `lock` keeps others from advancing it until the commit."""
    row = (_LOCKED if lock else _RUN).run(conn, {"wanted": run_id}).first()
    if row is None:
        raise NotFound(f"no run {run_id!r}")
    return row


_CALLED = Statement(sa.select(runs).where(runs.c.called_by == sa.bindparam("row")).order_by(runs.c.id.desc()).limit(1))
_CALLS = Statement(
    sa.select(runs.c.id)
    .join_from(runs, work, work.c.id == runs.c.called_by)
    .where(work.c.run_id == sa.bindparam("caller"), runs.c.status.in_(literally(("running", "paused"))))
    .order_by(runs.c.id)
)
_CALLER = Statement(
    sa.select(runs).join_from(runs, work, work.c.run_id == runs.c.id).where(work.c.id == sa.bindparam("row"))
)


def called_by(conn: sa.Connection, work_id: str) -> Any | None:
    """The run that a step has called last, if it has called one."""
    return _CALLED.run(conn, {"row": work_id}).first()


def calls(conn: sa.Connection, run_id: str) -> list[str]:
    """The runs under way that a run has called."""
    return [row.id for row in _CALLS.run(conn, {"caller": run_id}).all()]


def depth(conn: sa.Connection, run: Any, most: int) -> int:
    """How many runs stand around this one; at most so many are looked for."""
    found = 0
    while run is not None and run.called_by and found < most:
        run = _CALLER.run(conn, {"row": run.called_by}).first()
        found += 1
    return found


def version(conn: sa.Connection, playbook_id: str, modified: str = "") -> Playbook:
    """A playbook by its CACAO id: the version that was modified then, else the newest. Raises NotFound."""
    rows = conn.execute(
        sa.select(playbooks.c.document, playbooks.c.current).where(playbooks.c.playbook_id == playbook_id)
    ).all()
    for row in rows:
        if row.document["modified"] == modified or (not modified and row.current):
            return cacao_form.from_document(row.document)
    known = ", ".join(sorted(row.document["modified"] for row in rows))
    said = f" in the version of {modified} (known: {known})" if rows and modified else ""
    raise NotFound(f"no playbook {playbook_id!r}{said}")


def save_state(tx: Tx, run_id: str, state: Mapping[str, Any], version: int) -> bool:
    """Keep how far a run is, which locks it to the commit; False when it has moved on from this version."""
    if tx.locked.get(run_id, version) != version:
        return False
    saved = tx.run(_SAVE, {"wanted": run_id, "known": version, "to_state": state})
    if run_id not in tx.locked and not saved.rowcount:
        return False
    tx.locked[run_id] = version + 1
    return True
