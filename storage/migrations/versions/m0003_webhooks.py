"""Webhooks to be sent, and every attempt to send one."""

import sqlalchemy as sa
from alembic import op

revision = "0003_webhooks"
down_revision = "0002_leases"


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("job_id", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("base_url", sa.String, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_s", sa.Float),
        sa.Column("delivered_s", sa.Float),
        sa.PrimaryKeyConstraint("event_id", name="webhook_events_key"),
    )
    op.create_index("webhook_events_by_job", "webhook_events", ["job_id"])
    op.create_index("webhook_events_by_next_attempt", "webhook_events", ["next_attempt_s"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("job_id", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("took_s", sa.Float, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("problem", sa.String),
        sa.PrimaryKeyConstraint("id", name="webhook_deliveries_key"),
    )
    op.create_index("webhook_deliveries_by_job", "webhook_deliveries", ["job_id", "at_s"])
