"""A batch of pictures as one file that plays them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from storage.pictures import text_chunks, to_bytes_per_channel

FIRST_TAGS = {"prompt": 0x0110, "workflow": 0x010F}  # of EXIF (ComfyUI nodes_images.py)


@dataclass(frozen=True)
class Animation:
    """How an animation is written. `effort` is WebP's 0..6 or PNG's 0..9.

    `loops` is how often it is played again, 0 for ever; a picture's time is `rounded` or cut off
    to whole milliseconds.
    """

    format: Literal["webp", "png", "gif"]
    fps: float
    effort: int = 4
    lossless: bool = True  # this and the next are WebP's
    quality: int = 80
    loops: int = 0
    rounded: bool = False


def encode_animation(
    images: npt.NDArray[np.float32], animation: Animation, text: Mapping[str, str]
) -> bytes:
    """Pictures [B, H, W, C], C of 1, 3 or 4, as a file with `text` by keyword."""
    first, *others = (_picture(image) for image in images)
    shown_ms = 1000.0 / animation.fps
    duration = round(shown_ms) if animation.rounded else int(shown_ms)
    options: dict[str, Any] = {"duration": duration, "loop": animation.loops}
    if animation.format == "gif":
        options |= {"disposal": 2}
    elif animation.format == "png":
        options |= {"compress_level": animation.effort, "pnginfo": text_chunks(text)}
    else:
        exif = first.getexif()
        for keyword, value in text.items():
            if keyword in FIRST_TAGS:
                exif[FIRST_TAGS[keyword]] = f"{keyword}:{value}"
        kept = {"lossless": animation.lossless, "quality": animation.quality}
        options |= {**kept, "method": animation.effort, "exif": exif}
    buffer = io.BytesIO()
    first.save(buffer, animation.format, save_all=True, append_images=others, **options)
    return buffer.getvalue()


def _picture(image: npt.NDArray[np.float32]) -> Image.Image:
    pixels = to_bytes_per_channel(image)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
