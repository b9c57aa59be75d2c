"""The workflow language: documents, node types, validation, plans, execution. No Ray, no torch."""
