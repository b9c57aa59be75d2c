"""What a job needs to outlive the process that runs it."""

import sqlalchemy as sa
from alembic import op

revision = "0002_leases"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("key_id", sa.String(32)),
        sa.Column("base_url", sa.String, nullable=False, server_default=""),
        sa.Column("estimate_s", sa.Float, nullable=False, server_default="0"),
        sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cancel_asked", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("worker", sa.String(32)),
        sa.Column("lease_until", sa.Float),
        sa.Column("request", sa.LargeBinary),
    ):
        op.add_column("jobs", column)
    op.drop_index("jobs_by_status", "jobs")
    op.create_index("jobs_in_line", "jobs", ["status", "owner", "priority", "created_s", "id"])
    op.create_index("jobs_by_end", "jobs", ["ended_s"])
