"""Uploads of Comfy's API v2, by id and by what is in them."""

import sqlalchemy as sa
from alembic import op

revision = "assets"
down_revision = "history"


def upgrade() -> None:
    op.create_table(
        "assets",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("location", sa.String(300), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("file_path", sa.String(300), nullable=False),
        sa.Column("content_type", sa.String(200), nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("expires_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("owner", "id", name="assets_key"),
        sa.Index("assets_by_hash", "owner", "hash"),
        sa.Index("assets_by_end", "expires_s"),
    )
