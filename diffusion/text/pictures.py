"""Pictures inside prompts."""

import hashlib
import math

from torch import Tensor

from diffusion.text.prompt import Picture
from imaging.resize import resize_image


def shown(image: Tensor, area_px: int) -> Picture:
    """The first picture of [B, H, W, C], in its proportions about `area_px` pixels large."""
    height, width = image.shape[1:3]
    factor = math.sqrt(area_px / (width * height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    pixels = resize_image(image[:1, ..., :3], *size, "area")[0].float().contiguous()
    digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    return Picture(f"{tuple(pixels.shape)} {digest}", pixels)
