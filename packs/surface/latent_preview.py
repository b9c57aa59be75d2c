"""latent_preview: names that packs replace or inherit from. Previews are the service's."""

from typing import Any

from packs.surface.comfy.utils import ProgressBar

MAX_PREVIEW_RESOLUTION = 512


def preview_to_image(latent_image: Any, do_scale: bool = True) -> Any:
    """A latent that is colours already, as a picture."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    pixels = (latent_image + 1.0) / 2.0 if do_scale else latent_image
    return Image.fromarray((pixels.clamp(0, 1) * 255).byte().cpu().numpy().astype(np.uint8))


class LatentPreviewer:
    """Makes pictures of latents."""

    def decode_latent_to_preview(self, x0: Any) -> Any:
        del x0

    def decode_latent_to_preview_image(self, preview_format: str, x0: Any) -> Any:
        return preview_format, self.decode_latent_to_preview(x0), MAX_PREVIEW_RESOLUTION


class TAESDPreviewerImpl(LatentPreviewer):
    """Made of a small autoencoder."""

    def __init__(self, taesd: Any) -> None:
        self.taesd = taesd


class Latent2RGBPreviewer(LatentPreviewer):
    """Made of a matrix."""

    def __init__(self, latent_rgb_factors: Any, *_: Any) -> None:
        self.latent_rgb_factors = latent_rgb_factors


def get_previewer(device: Any, latent_format: Any) -> None:
    """None: the service shows previews."""
    del device, latent_format


def prepare_callback(model: Any, steps: int, x0_output_dict: Any = None) -> Any:
    """A function that a sampler would call after each step."""
    del model
    bar = ProgressBar(steps)

    def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
        del x
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        bar.update_absolute(step + 1, total_steps)

    return callback
