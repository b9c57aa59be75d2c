"""Model files: the shared models folder, uploaded models, and checks of their headers."""
