"""Kernel confinement of a pack's process, set before the pack is loaded."""
