"""Models that owners upload, and uploads on their way."""

import sqlalchemy as sa
from alembic import op

revision = "models"
down_revision = "keys"


def upgrade() -> None:
    op.create_table(
        "owned_models",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("folder", sa.String(40), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("family", sa.String(40), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="owned_models_key"),
        sa.UniqueConstraint(
            "owner", "folder", "sha256", name="owned_models_unique_owner_folder_sha256"
        ),
    )
    op.create_table(
        "model_uploads",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("folder", sa.String(40)),
        sa.Column("size", sa.BigInteger),
        sa.Column("sha256", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("model_id", sa.String(24)),
        sa.Column("error", sa.JSON),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="model_uploads_key"),
    )
    op.create_index("model_uploads_by_owner", "model_uploads", ["owner", "state"])
    op.create_index("model_uploads_by_created_s", "model_uploads", ["created_s"])
