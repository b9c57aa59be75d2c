# mypy: ignore-errors
"""A pack that cannot be imported."""

raise RuntimeError("no luck")
