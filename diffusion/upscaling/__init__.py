"""Upscaling models, and pictures drawn again in tiles."""
