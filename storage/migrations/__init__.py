"""How the database came to look as it does: one file in versions/ for each change."""
