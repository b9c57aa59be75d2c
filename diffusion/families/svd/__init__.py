"""Stable Video Diffusion: videos of a picture, by a U-Net whose layers see other frames too."""
