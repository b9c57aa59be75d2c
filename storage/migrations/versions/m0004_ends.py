"""What a job is expected to save, and ends whose charge or webhook is still to be written."""

import sqlalchemy as sa
from alembic import op

revision = "0004_ends"
down_revision = "0003_webhooks"


def upgrade() -> None:
    for column in (
        sa.Column("expected_outputs", sa.Integer, nullable=False, server_default="1"),
        sa.Column("ledgers_due", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("jobs", column)
