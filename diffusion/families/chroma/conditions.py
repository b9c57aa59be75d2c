"""Conditioning of Chroma: text alone."""

from dataclasses import replace

import torch

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.families.chroma.shapes import ChromaShape
from diffusion.families.family import LoadedModel
from graph.values import Condition

TOKENS = 32  # of a prompt that says nothing


def embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    """(ComfyUI comfy/model_base.py, Chroma.extra_conds)"""
    whole = embedding(condition, frame, context=batched(condition.tokens, frame))
    guidance = condition.extras.get("guidance") or 0.0
    return replace(whole, guidance=guidance, references=(), bias=None)


def blank(shape: ChromaShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))
