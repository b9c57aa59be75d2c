"""API keys, and what their jobs cost."""

import sqlalchemy as sa
from alembic import op

revision = "keys"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("expires_s", sa.Float),
        sa.Column("revoked_s", sa.Float),
        sa.Column("rate", sa.String(40)),
        sa.Column("concurrency", sa.Integer),
        sa.Column("budget", sa.BigInteger),
        sa.Column("unfinished", sa.Integer, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="api_keys_key"),
    )
    op.create_index("api_keys_by_owner", "api_keys", ["owner", "created_s"])
    op.create_table(
        "charges",
        sa.Column("job_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("settled_s", sa.Float),
        sa.Column("amount", sa.BigInteger),
        sa.Column("outputs", sa.Integer),
        sa.Column("seconds", sa.Float),
        sa.PrimaryKeyConstraint("job_id", name="charges_key"),
    )
    op.create_index("charges_by_owner", "charges", ["owner", "created_s"])
    op.create_index("charges_by_settled_s", "charges", ["settled_s", "created_s"])
