"""The conditioning that Flux.2 takes."""

from dataclasses import replace

import torch
from torch.nn import functional

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.families.family import LoadedModel
from diffusion.families.flux2.shapes import Flux2Shape
from graph.values import Condition

TOKENS = 512  # of a prompt at least
THE_NETWORKS = ""  # where the network puts references that nothing is said of


def embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    """A short prompt is filled up in front. (comfy/model_base.py, Flux2)"""
    context = batched(condition.tokens, frame)
    missing = max(0, TOKENS - context.shape[1])
    whole = embedding(condition, frame, context=functional.pad(context, (0, 0, missing, 0)))
    places = condition.extras.get("reference_latents_method", THE_NETWORKS)
    return replace(whole, reference_places=places, bias=None)


def blank(shape: Flux2Shape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))
