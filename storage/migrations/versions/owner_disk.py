"""How many bytes each owner's outputs and uploads take."""

import sqlalchemy as sa
from alembic import op

revision = "owner_disk"
down_revision = "keys"


def upgrade() -> None:
    op.create_table(
        "owner_disk",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="owner_disk_key"),
    )
