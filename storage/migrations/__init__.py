"""Database migrations by alembic, one file in versions/ for each change."""
