"""Qwen-Image and Qwen-Image-Edit: a transformer that reads Qwen2.5-VL, and pictures to go by."""

from dataclasses import replace
from functools import partial

import torch

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.patches import PatchKind
from diffusion.dit.weight_names import names_by
from diffusion.families.family import ControlKind, Family, LoadedModel
from diffusion.families.qwen_image.control import is_fun, is_instantx, load_fun, load_instantx
from diffusion.families.qwen_image.diffsynth import MARK, load_diffsynth
from diffusion.families.qwen_image.loading import load, parameterization
from diffusion.families.qwen_image.network import blocks, qwen_image
from diffusion.families.qwen_image.shapes import QwenImageShape, read_shape
from diffusion.families.qwen_image.text import TEXT
from graph.values import Condition

TOKENS = 64  # of a prompt that says nothing


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(qwen_image, model.module), model.shape, limits)


def _embed(model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    method = condition.extras.get("reference_latents_method", model.shape.reference_method)
    conditioning = embedding(condition, frame, context=batched(condition.tokens, frame))
    return replace(conditioning, guidance=None, reference_places=method)


def _blank(shape: QwenImageShape) -> Condition:
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


QWEN_IMAGE = Family(
    name="qwen_image",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=_embed,
    blank=_blank,
    weight_names=names_by(lambda _: ()),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    controls=(
        ControlKind(is_instantx, load_instantx),
        ControlKind(is_fun, load_fun, made_of_model=True),
    ),
    patches=(PatchKind(lambda weights: MARK in weights, load_diffsynth),),
)
