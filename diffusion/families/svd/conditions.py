"""Conditioning of Stable Video Diffusion: a picture as it is seen, as latents, and sizes.

(ComfyUI comfy/model_base.py, SVD_img2vid)
"""

import torch
from torch import Tensor

from diffusion.batch.frame import Frame, fitted_to
from diffusion.batch.preparation import batched
from diffusion.batch.prompts import Embedding
from diffusion.families.family import LoadedModel
from diffusion.families.sd.shapes import UnetShape
from diffusion.networks.layers import sinusoids
from graph.values import Condition

SINUSOIDS = 256  # numbers that stand for one size


def embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> Embedding:
    """The picture for every frame; latents beside the noise are in the autoencoder's scale."""
    extras = condition.extras
    sizes = [
        extras.get("fps", 6) - 1,
        extras.get("motion_bucket_id", 127),
        extras.get("augmentation_level", 0.0),
    ]
    waves = sinusoids(torch.tensor(sizes, dtype=torch.float32), SINUSOIDS).flatten()[None]
    picture: Tensor | None = extras.get("concat_latent_image")
    concat = torch.zeros(frame.shape, device=frame.device)
    if picture is not None:
        concat = fitted_to(frame, picture.to(frame.device, torch.float32))
    return Embedding(batched(condition.tokens, frame), waves.to(frame.device), concat)


def blank(shape: UnetShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, 1, shape.context_dim))
