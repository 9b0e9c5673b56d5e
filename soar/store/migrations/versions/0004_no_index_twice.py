"""What a key of the table finds already needs no index of its own."""

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

TWICE = (
    ('custody', 'item_id'),
    ('event_values', 'event_id'),
    ('links', 'incident_id'),
    ('observables', 'incident_id'),
    ('proposals', 'incident_id'),
    ('roles', 'person_id'),
    ('scope', 'incident_id'),
    ('votes', 'approval_id'),
    ('work', 'run_id'),
)


def upgrade() -> None:
    for table, column in TWICE:
        op.drop_index(f'ix_{table}_{column}', table_name=table)


def downgrade() -> None:
    for table, column in reversed(TWICE):
        op.create_index(f'ix_{table}_{column}', table, [column])
