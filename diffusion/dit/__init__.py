"""What the families of diffusion transformers share."""
