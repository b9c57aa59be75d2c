"""Chroma Radiance: Chroma over pixels, with a small network for each square of them."""
