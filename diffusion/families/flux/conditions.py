"""The conditioning that Flux takes."""

import torch

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.families.family import LoadedModel
from diffusion.families.flux.concat import concat_channels
from diffusion.families.flux.shapes import FluxShape
from diffusion.families.pooled import pooled_text
from graph.values import Condition

TOKENS = 77  # of a prompt that says nothing


def embed(model: LoadedModel, condition: Condition, name: str, frame: Frame) -> DitEmbedding:
    """Raises PooledTextMissingError."""
    return embedding(
        condition,
        frame,
        context=batched(condition.tokens, frame),
        pooled=pooled_text(condition, name, frame),
        concat=concat_channels(condition.extras, frame, model.in_channels),
    )


def blank(shape: FluxShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, TOKENS, shape.context_dim), torch.zeros(1, shape.y_dim))
