"""The table of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("started_s", sa.Float),
        sa.Column("ended_s", sa.Float),
        sa.Column("track_id", sa.String),
        sa.Column("webhook", sa.String),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("body_hash", sa.String(64)),
        sa.Column("answer", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("last_event", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="jobs_key"),
        sa.UniqueConstraint("owner", "idempotency_key", name="jobs_unique_owner_idempotency_key"),
    )
    op.create_index("jobs_by_owner", "jobs", ["owner", "created_s", "id"])
    op.create_index("jobs_by_status", "jobs", ["status"])
