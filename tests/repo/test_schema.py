"""The schema: what the migrations make is what the tables say, and the way back is open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from api.migrate import migrate
from soar.store.tables import Moment, metadata
from tests.repo.checkout import ROOT


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A new database, brought to this version's schema."""
    url = f"sqlite:///{tmp_path / 'soar.db'}"
    migrate(url)
    return url


def config(url: str) -> Config:
    found = Config()
    found.set_main_option("script_location", str(ROOT / "soar/store/migrations"))
    found.attributes["url"] = url
    return found


def differences(url: str) -> list[object]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


def names(url: str, kind: str) -> set[str]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            query = sa.text("SELECT name FROM sqlite_master WHERE type = :kind AND name NOT LIKE 'sqlite_%'")
            return set(connection.execute(query, {"kind": kind}).scalars())
    finally:
        engine.dispose()


def test_the_migrations_make_what_the_tables_say(url: str) -> None:
    assert differences(url) == []


def test_a_table_that_no_migration_makes_would_be_seen(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE switches"))
    engine.dispose()
    assert differences(url)


def test_no_index_repeats_what_a_key_of_its_table_begins_with() -> None:
    for table in metadata.sorted_tables:
        keys = [key for key in table.constraints if isinstance(key, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
        begun = [[column.name for column in key.columns] for key in keys]
        for index in table.indexes:
            names = [column.name for column in index.columns]
            assert not any(key[: len(names)] == names for key in begun), index.name


def test_there_is_one_line_of_migrations(url: str) -> None:
    script = ScriptDirectory.from_config(config(url))
    assert len(script.get_heads()) == 1
    assert all(revision.doc for revision in script.walk_revisions())


def test_the_way_back_leaves_nothing_and_the_way_forth_is_open_again(url: str) -> None:
    triggers = names(url, "trigger")
    command.downgrade(config(url), "base")
    assert names(url, "table") == {"alembic_version"}
    assert names(url, "trigger") == set()
    migrate(url)
    assert differences(url) == []
    assert names(url, "trigger") == triggers != set()


@pytest.mark.parametrize("table", ["events", "leaves", "checkpoints"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid"])
def test_the_database_itself_guards_what_is_written_once(url: str, table: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(metadata.tables[table].insert().values(_row(table)))
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement.format(table)))
    engine.dispose()


def _row(table: str) -> dict[str, object]:
    """A row of any content."""
    values: dict[type, object] = {sa.String: "x", sa.Integer: 1, sa.LargeBinary: b"x", Moment: datetime.now(UTC)}
    return {
        column.name: next(value for kind, value in values.items() if isinstance(column.type, kind))
        for column in metadata.tables[table].columns
    }
