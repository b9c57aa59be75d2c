"""The alembic environment; runs migrations over the connection of storage/database.py."""

from alembic import context

from storage.database import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
