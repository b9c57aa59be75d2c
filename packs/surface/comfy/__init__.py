"""comfy: the part of it that is not models."""
