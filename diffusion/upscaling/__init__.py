"""Upscaling models, and tiled redrawing."""
