"""Stable Diffusion's x4 upscaler, narrow, with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file

from diffusion.batch.conditions import with_extras
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import Level, UnetShape, module_names
from diffusion.latent.latents import empty_latent
from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.vision.video_pictures import low_resolution
from diffusion.weights import open_weights
from graph.nodes.sd_upscaler import condition_on_small
from graph.values import Condition, Conditioning, Model, ModelFile
from tests.diffusion.core_sampling import close
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.narrow_stage import drawn, narrow_stage, request

LEVELS = (
    Level(32, (0,), (0, 0)),
    Level(64, (1,), (1, 1), crosses=True),
    Level(64, (1,), (1, 1), crosses=True),
    Level(128, (1,), (1, 1)),
)
SHAPE = UnetShape(7, 4, 128, 1000, True, LEVELS, 1, labelled=True)
FILE = ModelFile("checkpoints", "upscaler.safetensors")


class Stage:
    """The functions that the node calls."""

    low_resolution = staticmethod(low_resolution)
    with_extras = staticmethod(with_extras)
    empty_latent = staticmethod(empty_latent)


def write_upscaler(folder: Path) -> None:
    """In LDM's names."""
    own = sorted(((name, theirs) for theirs, name in module_names(SHAPE).items()), reverse=True)
    tensors = {}
    for name, parameter in Unet(SHAPE).named_parameters():
        start, theirs = next((a, b) for a, b in own if name.startswith(f"{a}."))
        key = "model.diffusion_model." + theirs + name.removeprefix(start)
        tensors[key] = seeded(name, tuple(parameter.shape))
    save_file(tensors, folder / FILE.name)


def prompt(seed: int) -> Conditioning:
    return (Condition(drawn(seed, 1, 77, 128)),)


def test_it_is_known_by_its_labels_and_channels(tmp_path: Path) -> None:
    write_upscaler(tmp_path)
    weights = open_weights(tmp_path / FILE.name, FILE)
    model = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    assert (model.family.name, model.shape, model.latent_format.px) == ("sd_x4_upscaler", SHAPE, 4)


async def test_pictures_are_made_larger_as_by_comfyui(tmp_path: Path) -> None:
    write_upscaler(tmp_path)
    stage = narrow_stage(tmp_path)
    sampling = await stage.model_sampling(Model(FILE))
    sigmas = ksampler_sigmas(sampling, "euler", "normal", 3, 1.0)
    image = drawn(9, 2, 16, 24, 3).sigmoid()
    for amount in (0.0, 0.3):
        positive, negative, latent = condition_on_small(
            cast(Any, Stage),
            images=image,
            positive=prompt(1),
            negative=prompt(101),
            noise_augmentation=amount,
        )
        assert latent.samples.shape == (2, 4, 16, 24)
        asked = request(seed=3, positive=positive, negative=negative, latent=latent)
        guider = replace(asked.guider, model=Model(FILE))
        found, _ = await stage.sample(replace(asked, guider=guider, sigmas=sigmas))
        assert close(found.samples, f"upscaler/{amount}")
    await stage.close()
