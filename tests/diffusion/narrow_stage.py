"""A sample stage over narrow models of random weights, and requests to it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.engine.stage import SampleStage
from diffusion.memory.budget import MemoryBudget
from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.schedules.model_sampling import discrete
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Condition, Conditioning, Latent, Model, ModelFile
from tests.diffusion.model_files import CPU, filled, recorded_shapes

LDM = "model.diffusion_model."
NARROW = ModelFile("checkpoints", "narrow.safetensors")
OTHER = ModelFile("checkpoints", "other.safetensors")
INPAINT = ModelFile("checkpoints", "inpaint.safetensors")
REFINER = ModelFile("checkpoints", "refiner.safetensors")


def write_models(folder: Path) -> None:
    """A model of four channels, another with other weights, one that inpaints, one with sizes."""
    shapes = recorded_shapes("unet_shapes")
    inpaint = filled(shapes["sd15_slim_inpaint"])
    first = "input_blocks.0.0.weight"
    narrow = {**inpaint, first: inpaint[first][:, :4]}
    other = {key: tensor * 0.9 for key, tensor in narrow.items()}
    refiner = filled(shapes["refiner"])
    files = {NARROW: narrow, OTHER: other, INPAINT: inpaint, REFINER: refiner}
    for file, tensors in files.items():
        prefixed = {LDM + key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(prefixed, folder / file.name)


def narrow_stage(folder: Path, **options: Any) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(folder / file.name, file)

    given = {"memory": MemoryBudget(2**30), **options}
    return SampleStage(opened, device=CPU, dtype=torch.float32, **given)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prompt(seed: int, tokens: int = 77, **options: Any) -> Conditioning:
    return (Condition(drawn(seed, 1, tokens, 768), **options),)


def request(
    seed: int = 1,
    *,
    sampler: str = "euler",
    steps: int = 3,
    denoise: float = 1.0,
    cfg: float = 4.0,
    positive: Conditioning | None = None,
    negative: Conditioning | None = None,
    latent: Latent | None = None,
    model: Model | None = None,
) -> SampleRequest:
    """A KSampler's request over an 8 by 8 latent, unless it says otherwise."""
    prompts = {
        "positive": prompt(seed) if positive is None else positive,
        "negative": prompt(seed + 100) if negative is None else negative,
    }
    scales = {"cfg": cfg}
    asked = custom_request(
        "cfg", prompts, scales, seed, sampler=sampler, steps=steps, denoise=denoise
    )
    guider = asked.guider if model is None else replace(asked.guider, model=model)
    return replace(asked, guider=guider, latent=asked.latent if latent is None else latent)


def custom_request(
    kind: str,
    prompts: Mapping[str, Conditioning],
    scales: Mapping[str, float],
    seed: int = 1,
    *,
    sampler: str = "euler",
    steps: int = 3,
    denoise: float = 1.0,
) -> SampleRequest:
    """A request with a guider of any kind."""
    sigmas = ksampler_sigmas(discrete(), sampler, "normal", steps, denoise)
    guider = Guider(kind, Model(NARROW), tuple(prompts.items()), tuple(scales.items()))
    latent = Latent(torch.zeros(1, 4, 8, 8))
    return SampleRequest(guider, Noise(seed), SamplerChoice(sampler), sigmas, latent, "5")
