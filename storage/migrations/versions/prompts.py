"""Who posted a job, under which name, its place in the queue, and counters by owner."""

import sqlalchemy as sa
from alembic import op

revision = "prompts"
down_revision = "0004_ends"


def upgrade() -> None:
    for column in (
        sa.Column("face", sa.String(16), nullable=False, server_default="v7"),
        sa.Column("prompt_id", sa.String(36)),
        sa.Column("client_id", sa.String(128)),
        sa.Column("number", sa.Float, nullable=False, server_default="0"),
    ):
        op.add_column("jobs", column)
    op.create_index("jobs_by_prompt", "jobs", ["owner", "prompt_id"], unique=True)
    op.create_table(
        "counters",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("used_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="counters_key"),
        sa.Index("counters_by_use", "used_s"),
    )
