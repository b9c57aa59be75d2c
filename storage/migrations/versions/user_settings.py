"""Settings that the editor keeps for each owner."""

import sqlalchemy as sa
from alembic import op

revision = "user_settings"
down_revision = "keys"


def upgrade() -> None:
    op.create_table(
        "user_settings",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="user_settings_key"),
    )
