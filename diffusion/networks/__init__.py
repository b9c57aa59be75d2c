"""What networks of all kinds are built of and filled with, and what files call their weights."""
