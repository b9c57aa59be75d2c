"""Autoencoders: pictures to latents and back, whole or in tiles, and previews without them."""
