"""Brings a database to this version's schema. Alembic is loaded only here: it is slow to import."""

from __future__ import annotations

from pathlib import Path

import soar.store


def migrate(url: str, revision: str = "head") -> None:
    """Upgrade the database at this URL; a new file is made when there is none."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(soar.store.__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, revision)
