"""Conditioning of U-Nets: text, a vector beside it, channels beside the latent."""

import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.batch.prompts import Embedding
from diffusion.families.family import LoadedModel
from diffusion.families.sd.concat import concat_channels
from diffusion.families.sd.shapes import UnetShape
from diffusion.families.sd.vectors import Vector
from graph.values import Condition

TOKENS = 77  # of a prompt that says nothing


def embed(
    model: LoadedModel, condition: Condition, name: str, frame: Frame, *, vector: Vector
) -> Embedding:
    """Raises PooledTextMissingError."""
    width: int | None = model.shape.y_dim
    return Embedding(
        context=batched(_projected(model, condition.tokens), frame),
        y=None if width is None else vector.make(condition, name, frame, width),
        concat=concat_channels(
            condition.extras,
            frame,
            model.in_channels,
            scaled=model.parameterization.kind == "v_edm",
        ),
    )


def _projected(model: LoadedModel, tokens: Tensor) -> Tensor:
    """Tokens in the width of texts, where they are a picture and a view of it. (Stable Zero123)"""
    projection = getattr(model.module, "cc_projection", None)
    if projection is None or tokens.shape[-1] != projection.in_features:
        return tokens
    with torch.inference_mode():
        projected: Tensor = projection(tokens.to(projection.weight))
    return projected.float().cpu()


def blank(shape: UnetShape, *, vector: Vector) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    width = shape.y_dim
    pooled = None if width is None else torch.zeros(1, vector.pooled_width(width))
    return Condition(torch.zeros(1, TOKENS, shape.context_dim), pooled)
