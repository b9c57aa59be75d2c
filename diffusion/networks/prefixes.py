"""The prefixes under which files keep a diffusion model among other networks."""

# "" is for a file that holds nothing else.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "net.", "")
