"""Conditioning of LTX-Video: text, frames a second, and which frames are there already."""

from dataclasses import replace

import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.families.family import LoadedModel
from diffusion.families.ltxv.network import KEYFRAMES, RATE
from diffusion.families.ltxv.shapes import LtxvShape
from graph.values import Condition

TOKENS = 32  # of a prompt that says nothing
FRAME_RATE = 25.0


def embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    """(ComfyUI comfy/model_base.py, LTXV.extra_conds and process_timestep)"""
    extras = condition.extras
    whole = embedding(condition, frame, context=batched(condition.tokens, frame))
    beside = {RATE: torch.full((1, 1), float(extras.get(RATE, FRAME_RATE)))}
    if KEYFRAMES in extras:
        beside[KEYFRAMES] = batched(extras[KEYFRAMES], frame)
    return replace(
        whole, guidance=None, references=(), bias=None, time_shares=_shares(frame), beside=beside
    )


def _shares(frame: Frame) -> Tensor | None:
    """[B, T]: of the time, how much every token is told of it: none where nothing is made anew."""
    mask = frame.denoise_mask
    return None if mask is None else mask[:, 0].flatten(1)


def blank(shape: LtxvShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))
