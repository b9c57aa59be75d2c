"""Colour quantization (ComfyUI comfy_extras/nodes_post_processing.py, Quantize)."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from graph.choices import Dither


def quantize_colors(image: Tensor, colors: int, dither: Dither) -> Tensor:
    """Each picture of [B, H, W, C] in at most `colors` colours of its own choice, [B, H, W, 3]."""
    levels = (image[..., :3] * 255).to(torch.uint8).cpu().numpy()
    pictures = [_quantize(Image.fromarray(picture), colors, dither) for picture in levels]
    values = np.stack([np.array(p.convert("RGB"), dtype=np.float32) for p in pictures])
    return (torch.from_numpy(values) / 255).to(image)


def _quantize(picture: Image.Image, colors: int, dither: Dither) -> Image.Image:
    palette = picture.quantize(colors=colors)
    if dither == "floyd-steinberg":
        return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if dither != "none":
        taken = len(palette.getpalette() or ()) // 3
        picture = _ordered(picture, int(dither.partition("-")[2]), 2 * 256 / taken)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _ordered(picture: Image.Image, order: int, spread: float) -> Image.Image:
    """The picture under a Bayer pattern of order x order pixels that shifts levels by `spread`."""
    levels = np.asarray(picture, dtype=np.float32)
    height, width = levels.shape[:2]
    tiles = -(-height // order), -(-width // order)
    pattern = np.tile(spread * bayer_matrix(order) + 0.5, tiles)[:height, :width, None]
    return Image.fromarray((levels + pattern.astype(np.float32)).clip(0, 255).astype(np.uint8))


def bayer_matrix(order: int) -> np.ndarray:
    """Bayer's (1973) thresholds for `order`, a power of two, spread evenly around 0 below 1 / 2."""
    if order == 1:
        return np.zeros((1, 1), np.float32)
    half = bayer_matrix(order // 2) * (order**2)
    return np.block([[half - 1.5, half + 0.5], [half + 1.5, half - 0.5]]) / np.float32(order**2)
