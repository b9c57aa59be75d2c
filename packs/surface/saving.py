"""Writes pictures as ComfyUI's SaveImage does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from packs.surface import folder_paths


def picture_of(pixels: Any) -> Image.Image:
    """One picture [H, W, C] of 0..1."""
    values = np.clip(255.0 * pixels.detach().cpu().float().numpy(), 0, 255).astype(np.uint8)
    return Image.fromarray(values[:, :, 0] if values.shape[-1] == 1 else values)


def save_pngs(
    images: Any, prefix: str, folder: str, text: Mapping[str, Any], compress_level: int
) -> list[dict[str, str]]:
    """Save each of a batch; says the names."""
    height, width = images[0].shape[:2]
    path, name, number, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder, width, height
    )
    chunks = PngInfo()
    for keyword, value in text.items():
        if value is not None:
            chunks.add_text(str(keyword), json.dumps(value, default=str))
    saved = []
    for index, pixels in enumerate(images):
        file = f"{name.replace('%batch_num%', str(index))}_{number + index:05}_.png"
        where = Path(path, file)
        picture_of(pixels).save(where, pnginfo=chunks, compress_level=compress_level)
        saved.append({"filename": file, "subfolder": subfolder})
    return saved
