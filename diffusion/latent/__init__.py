"""Latents as nodes make, cut and combine them, and the noise of a request."""
