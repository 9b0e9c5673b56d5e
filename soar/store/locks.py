"""Locks on what has no row yet: a delivery, a finding, a shared host. PostgreSQL only.

There, two transactions that look for the same thing at the same moment both find nothing and both
make it. So whoever is going to look takes the lock of its name first, and keeps it to the commit.
SQLite has one writer at a time and needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa

from soar.store.session import Tx

MANY = 48
"""More names than this at once take the one lock of everything: the server's table of locks is small."""

_EACH = sa.text("SELECT pg_advisory_xact_lock(name) FROM unnest(CAST(:names AS bigint[])) AS name")
_TRY = sa.text("SELECT pg_try_advisory_xact_lock(:name)")
_NOT_ALONE = sa.text("SELECT pg_advisory_xact_lock_shared(0)")
_ALONE = sa.text("SELECT pg_advisory_xact_lock(0)")


def hold(tx: Tx, names: Iterable[str]) -> None:
    """Lock all these names until the commit, in one order for everybody. To be called before any other lock.

    Among those that lock one fixed name the order matters to nobody else.
    """
    if not tx.postgres:
        return
    numbers = sorted({_number(name) for name in names})
    if len(numbers) > MANY:
        tx.run(_ALONE)
        return
    tx.run(_NOT_ALONE)
    tx.run(_EACH, {"names": numbers})


def hold_if_free(tx: Tx, name: str) -> bool:
    """Lock a name until the commit, unless somebody holds it."""
    return not tx.postgres or bool(tx.run(_TRY, {"name": _number(name)}).scalar())


def _number(name: str) -> int:
    """A name as the 64 bits that PostgreSQL locks; two names that meet there only wait for each other."""
    return int.from_bytes(
        hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True
    )
