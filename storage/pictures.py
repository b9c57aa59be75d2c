"""Pictures as files: float images to PNG, WebP and JPEG bytes."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ImageFormat = Literal["png", "webp", "jpeg"]
MIME_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
}
EXTENSIONS: Mapping[str, str] = {
    "png": ".png",
    "webp": ".webp",
    "jpeg": ".jpg",
    "gif": ".gif",
    "tiff": ".tiff",
    "bmp": ".bmp",
}


@dataclass(frozen=True)
class Encoding:
    """How pictures are written. `text` is for PNG: its text chunks by keyword."""

    format: ImageFormat | Literal["gif", "tiff", "bmp"] = "png"
    quality: int = 90  # of WebP and JPEG, 1..100
    compress_level: int = 4  # of PNG; ComfyUI nodes.py, SaveImage
    text: Mapping[str, str] = field(default_factory=dict)
    lossless: bool = False  # of WebP
    dpi: int | None = None  # of PNG and JPEG


def to_bytes_per_channel(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """0..1 to 0..255, cut off and not rounded (ComfyUI nodes.py, SaveImage); NaN becomes 0."""
    parts = np.fmax(image, np.float32(0))  # of NaN and a number it gives the number
    np.fmin(parts, np.float32(1), out=parts)
    np.multiply(parts, np.float32(255), out=parts)
    return parts.astype(np.uint8)


def encode_picture(image: npt.NDArray[np.float32], encoding: Encoding) -> bytes:
    """One picture [H, W, C], C of 1, 3 or 4, as a file."""
    pixels = to_bytes_per_channel(image)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if encoding.format in {"jpeg", "bmp"} and picture.mode == "RGBA":
        picture = picture.convert("RGB")
    dpi = {"dpi": (encoding.dpi,) * 2} if encoding.dpi else {}
    options: dict[str, Any] = {}
    if encoding.format == "png":
        chunks = text_chunks(encoding.text)
        options = {"compress_level": encoding.compress_level, "pnginfo": chunks, **dpi}
    elif encoding.format == "jpeg":
        options = {"quality": encoding.quality, **dpi}
    elif encoding.format == "webp":
        options = {"quality": encoding.quality, "lossless": encoding.lossless}
    buffer = io.BytesIO()
    picture.save(buffer, format=encoding.format.upper(), **options)
    return buffer.getvalue()


def text_chunks(text: Mapping[str, str]) -> PngInfo:
    """Text of a PNG by keyword."""
    chunks = PngInfo()
    for keyword, value in text.items():
        chunks.add_text(keyword, value)
    return chunks
