"""How Alembic reaches the database: by the URL that the caller put into the configuration."""

import sqlalchemy as sa
from alembic import context

from soar.store.tables import metadata


def run() -> None:
    """Run the migrations in one transaction each, on a connection of their own."""
    engine = sa.create_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
