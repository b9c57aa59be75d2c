"""Anima: drawings, by Cosmos-Predict2's transformer and a small language model."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import TextWidthError, batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.weight_names import names_by
from diffusion.families.anima.network import Anima, anima, blocks
from diffusion.families.anima.shapes import AdapterShape, AnimaShape, read_shape
from diffusion.families.anima.text import TEXT, WEIGHTS, WORDS
from diffusion.families.family import Family, Found, LoadedModel, Loading
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import WAN21_LATENT
from diffusion.parameterization import Parameterization
from graph.errors import ServiceError
from graph.values import Condition

FLOW = Parameterization("flow", shift=3.0, multiplier=1.0)
TOKENS = 512  # of a prompt at least


@dataclass(eq=False)
class TooFewWordsError(ServiceError):
    """An adapter whose table ends before a word of the prompt."""

    status = 422
    code = "bad_model_file"
    template = "The model's adapter knows {known} of T5's tokens; the prompt has token {received}."
    known: int
    received: int


def _parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Anima)"""
    return FLOW


def _load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, Anima, WAN21_LATENT)


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(anima, model.module), model.shape, limits)


def _embed(model: LoadedModel, condition: Condition, name: str, frame: Frame) -> DitEmbedding:
    """A prompt that a text encoder of another family read is taken as it is."""
    tokens = condition.tokens
    if WORDS in condition.extras:
        check_adapted(name, condition, model.shape.adapter)
        tokens = _adapted(model.module, tokens.to(frame.device), condition.extras)
    return embedding(condition, frame, context=batched(tokens, frame))


def check_adapted(name: str, condition: Condition, shape: AdapterShape) -> None:
    """Raises TextWidthError, TooFewWordsError where an adapter cannot take a prompt."""
    if (width := int(condition.tokens.shape[-1])) != shape.source:
        raise TextWidthError(name, shape.source, width)
    if (last := int(condition.extras[WORDS].max())) >= shape.words:
        raise TooFewWordsError(shape.words, last)


@torch.inference_mode()
def _adapted(module: Any, said: Tensor, extras: Any) -> Tensor:
    """What T5's words say [1, T, D], weighted, with nothing behind them."""
    dtype = module.t_embedding_norm.weight.dtype
    words, weights = extras[WORDS].to(said.device), extras[WEIGHTS].to(said.device, dtype)
    adapted = module.llm_adapter(said.to(dtype), words) * weights[..., None]
    return functional.pad(adapted, (0, 0, 0, max(0, TOKENS - adapted.shape[1]))).float()


def _blank(shape: AnimaShape) -> Condition:
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


ANIMA = Family(
    name="anima",
    read=read_shape,
    load=_load,
    parameterization=_parameterization,
    denoiser=_denoiser,
    embed=_embed,
    blank=_blank,
    weight_names=names_by(lambda _: ()),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
)
