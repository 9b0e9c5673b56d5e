"""Brings a database to this version's schema. Alembic is loaded only here: it is slow to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

import soar.store
from soar.errors import SoarError

_MIGRATIONS = Path(soar.store.__file__).parent / "migrations"
_START_LOCK = 0x50A20001
"""PostgreSQL's advisory lock of whoever begins: one process at a time migrates and makes the first rows."""
_PATIENCE = "120s"


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Hold back every other process that would begin on this database; a dead one holds nobody back.

    Only for PostgreSQL: a SQLite file belongs to the one process that owns its folder. Raises what
    the driver raises when the database cannot be had, or others take too long.
    """
    if sa.make_url(url).get_backend_name() == "sqlite":
        yield
        return
    engine = _engine(url)
    try:
        with engine.connect() as conn:
            conn.execute(sa.text(f"SET lock_timeout = '{_PATIENCE}'"))
            conn.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _START_LOCK})
            conn.commit()
            yield
    finally:
        engine.dispose()


def migrate(url: str, revision: str = "head") -> None:
    """Upgrade the database at this URL; a new file is made when there is none.

    Raises SoarError for a database that has a schema which this version does not know.
    """
    if revision == "head" and _current(url) == _newest():
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise SoarError(f"the database is not one of this version: {error}") from error


def _engine(url: str) -> sa.Engine:
    """For a moment at the start; a server that does not answer is given up after five seconds."""
    patience = {} if sa.make_url(url).get_backend_name() == "sqlite" else {"connect_timeout": 5}
    return sa.create_engine(url, connect_args=patience)


def _newest() -> str:
    """The newest revision that ships; files are named by their number."""
    return max(path.name for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _current(url: str) -> str | None:
    """The revision that a database says it has; None for one without a schema."""
    engine = _engine(url)
    try:
        with engine.connect() as conn:
            if not sa.inspect(conn).has_table("alembic_version"):
                return None
            found: str | None = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return found
    finally:
        engine.dispose()
