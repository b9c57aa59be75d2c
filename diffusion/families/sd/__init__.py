"""Stable Diffusion 1.x and 2.x, SDXL and its refiner: families of one network, a U-Net."""
