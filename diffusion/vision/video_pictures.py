"""Prompts made of a picture: its image embedding, and its latent beside the noise.

(ComfyUI comfy_extras/nodes_video_model.py, SVD_img2vid_Conditioning)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from graph.values import ClipVisionOutput, Condition, Conditioning
from imaging.resize import resize

SEED = 0  # ComfyUI draws this noise from whatever state its generator is in


def augmented(image: Tensor, level: float) -> Tensor:
    """Pictures [B, H, W, C] with noise of so much, the same for every job."""
    pixels = image[..., :3]
    if level <= 0:
        return pixels
    generator = torch.Generator().manual_seed(SEED)
    return pixels + torch.randn(*pixels.shape, generator=generator) * level


def picture_prompts(
    seen: ClipVisionOutput, latents: Tensor, **sizes: float | Sequence[float]
) -> tuple[Conditioning, Conditioning]:
    """A prompt of the picture, and one of none."""
    tokens = torch.as_tensor(seen.image_embeds)[None]
    positive = Condition(tokens, extras={**sizes, "concat_latent_image": latents})
    none = {**sizes, "concat_latent_image": torch.zeros_like(latents)}
    return (positive,), (Condition(torch.zeros_like(tokens), extras=none),)


def view_prompts(
    seen: ClipVisionOutput, latents: Tensor, views: Sequence[tuple[float, float]]
) -> tuple[Conditioning, Conditioning]:
    """A prompt of the picture from each of `views` (elevation, azimuth in degrees), and of none.

    (ComfyUI comfy_extras/nodes_stable3d.py, StableZero123_Conditioning_Batched)
    """
    tokens = torch.as_tensor(seen.image_embeds)[None]
    angles = torch.deg2rad(torch.tensor(views, dtype=torch.float32))
    up, around = angles.unbind(dim=1)
    level = torch.full_like(up, math.pi / 2)
    camera = torch.stack([-up, around.sin(), around.cos(), level], dim=1)[:, None]
    both = torch.cat(
        [tokens.expand(len(camera), -1, -1), camera.expand(-1, tokens.shape[1], -1)], dim=-1
    )
    positive = Condition(both, extras={"concat_latent_image": latents})
    none = {"concat_latent_image": torch.zeros_like(latents)}
    return (positive,), (Condition(torch.zeros_like(tokens), extras=none),)


def low_resolution(images: Tensor, height: int, width: int) -> Tensor:
    """Pictures [B, H, W, C] of a size, [B, 3, h, w] in -1..1. (ComfyUI nodes_sdupscale.py)"""
    pixels = images[..., :3].movedim(-1, 1) * 2.0 - 1.0
    return resize(pixels, width, height, "bilinear", "center")
