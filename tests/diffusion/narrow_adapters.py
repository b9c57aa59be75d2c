"""IP-Adapters and an image encoder for the narrow U-Net, as files, and image prompts of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from diffusion.control.image_adapters import prepare_images
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.image_prompts import JobImage
from diffusion.schedules.model_sampling import discrete
from diffusion.vision.ip_adapter import load_image_layers
from diffusion.weights import Weights, open_weights
from graph.image_prompts import ImagePrompt, ImageUse
from graph.values import Model, ModelFile
from tests.diffusion.image_files import (
    adapter_layers,
    base_projection,
    image_encoder,
    in_one_file,
    plus_projection,
)
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_stage import NARROW, write_models
from tests.diffusion.networks import by_diffusers

BASE = ModelFile("ipadapter", "base.safetensors")
PLUS = ModelFile("ipadapter", "plus.bin")
EYE = ModelFile("clip_vision", "eye.safetensors")
Projection = Mapping[str, Tensor]


def write_adapters(folder: Path) -> None:
    """The narrow models, an image encoder, a base and a plus adapter."""
    write_models(folder)
    layers = adapter_layers(narrow(folder).module)
    save_file(in_one_file(base_projection(), layers), folder / BASE.name)
    torch.save({"image_proj": plus_projection(), "ip_adapter": layers}, folder / PLUS.name)
    save_file(image_encoder(), folder / EYE.name)


def opener(folder: Path) -> Callable[[ModelFile], Weights]:
    return lambda file: open_weights(folder / file.name, file)


def narrow(folder: Path) -> LoadedModel:
    return FAMILIES.load(opener(folder)(NARROW), dtype=torch.float32, device=CPU)


def diffusers_unet(folder: Path, projection: Projection, times: int = 1) -> UNet2DConditionModel:
    """The narrow model as diffusers runs it with an IP-Adapter, or with it so many times."""
    unet = narrow(folder)
    adapter = {"image_proj": dict(projection), "ip_adapter": adapter_layers(unet.module)}
    module = by_diffusers(unet)
    loading: Any = module
    loading._load_ip_adapter_weights([adapter] * times, low_cpu_mem_usage=False)
    return module


def prompt_of(tokens: Tensor, negative: Tensor, use: ImageUse | None = None) -> ImagePrompt:
    return ImagePrompt(BASE, tokens, negative, None, use or ImageUse())


def prepared(folder: Path, unet: LoadedModel, prompt: ImagePrompt, batch: int = 1) -> JobImage:
    layers = load_image_layers(opener(folder)(BASE), dtype=torch.float32, device=CPU)
    changes = Model(NARROW).changed("ip_adapter", prompt=prompt).changes
    (image,) = prepare_images(changes, {BASE: layers}, unet, discrete(), batch)
    assert isinstance(image, JobImage)
    return image
