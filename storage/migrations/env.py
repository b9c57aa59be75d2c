"""What alembic runs to migrate: over the connection that storage/database.py hands it."""

from alembic import context

from storage.database import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
