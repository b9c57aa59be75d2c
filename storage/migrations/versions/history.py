"""Jobs that their owner took out of the history, and which job a name of a file is of."""

import sqlalchemy as sa
from alembic import op

revision = "history"
down_revision = "prompts"


def upgrade() -> None:
    hidden = sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("jobs", hidden)
    op.add_column("jobs", sa.Column("workflow_id", sa.String(128)))
    op.create_table(
        "output_names",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("location", sa.String(64), nullable=False),
        sa.Column("job_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "location", name="output_names_key"),
        sa.Index("output_names_by_job", "job_id"),
    )
