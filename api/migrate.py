"""Brings a database to this version's schema. Alembic is loaded only here: it is slow to import."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

import soar.store
from soar.errors import SoarError

_MIGRATIONS = Path(soar.store.__file__).parent / "migrations"


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


def _newest() -> str:
    """The newest revision that ships; files are named by their number."""
    return max(path.name for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _current(url: str) -> str | None:
    """The revision that a database says it has; None for one without a schema."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as conn:
            if not sa.inspect(conn).has_table("alembic_version"):
                return None
            found: str | None = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return found
    finally:
        engine.dispose()
