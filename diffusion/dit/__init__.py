"""Code that the families of diffusion transformers share."""
