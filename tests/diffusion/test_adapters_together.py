"""IP-Adapter, LoRA and ControlNet in one job: as diffusers' own modules draw, step by step.

All jobs run at once in one stage, so their rows share calls; each is compared with a loop of
Euler steps over diffusers' U-Net, ControlNet and attention processors, alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from diffusion.control.controlled import apply_control_to_both
from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import LORA, Loras
from diffusion.vision.stage import VisionStage
from graph.image_prompts import ImageUse, Pictures
from graph.sampling import SampleRequest
from graph.values import ControlNet, IpAdapter, Latent, Model, ModelFile
from tests.diffusion.image_files import SEEN, base_projection
from tests.diffusion.lora_files import unet_lora, write_lora
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_adapters import BASE, diffusers_unet, opener, write_adapters
from tests.diffusion.narrow_stage import NARROW, drawn, narrow_stage, prompt, request
from tests.diffusion.test_controlnet import NARROW_NET, seeded_module

CONTROL = ModelFile("controlnet", "control.safetensors")
LORA_FILE = ModelFile("loras", "a.safetensors")
SEED = 1
CFG = 4.0
STEPS = 4
SIZE = 8
LATENT_SCALE = 0.18215
HALF = torch.arange(4).repeat(4, 1).lt(2).float()  # the left half, of a layer's 4 by 4 tokens
When: TypeAlias = tuple[float, float]
ALWAYS: When = (0.0, 1.0)


@dataclass(frozen=True)
class Prompted:
    """An image prompt of a job: of which pictures, how strongly, where and when."""

    seed: int
    pictures: int = 1
    weight: float = 1.0
    masked: bool = False
    when: When = ALWAYS

    @property
    def seen(self) -> tuple[Tensor, Tensor]:
        """What an image encoder gave of the pictures, and of what is to be avoided."""
        return drawn(self.seed, self.pictures, SEEN), drawn(self.seed + 1, self.pictures, SEEN)


@dataclass(frozen=True)
class Controlled:
    strength: float
    when: When = ALWAYS

    @property
    def hint(self) -> Tensor:
        return torch.rand(1, 8 * SIZE, 8 * SIZE, 3, generator=torch.Generator().manual_seed(5))


@dataclass(frozen=True)
class Combined:
    """What is applied to a job's model, and what it goes by."""

    images: tuple[Prompted, ...] = ()
    lora: float = 0.0
    control: Controlled | None = None
    batch: int = 1


ONE = Prompted(10)
COMBINATIONS: Mapping[str, Combined] = {
    "a picture": Combined((ONE,)),
    "a picture and a LoRA": Combined((ONE,), lora=0.8),
    "a picture and a LoRA of negative strength": Combined((ONE,), lora=-0.5),
    "a picture and a ControlNet": Combined((ONE,), control=Controlled(0.7)),
    "a picture, a LoRA and a ControlNet": Combined((ONE,), 0.8, Controlled(0.7)),
    "a batch by all": Combined((ONE,), 0.8, Controlled(0.7), batch=2),
    "three pictures and a LoRA": Combined((Prompted(20, 3, weight=0.6),), lora=0.8),
    "a masked picture and a ControlNet": Combined(
        (Prompted(30, masked=True),), control=Controlled(0.7)
    ),
    "two image prompts, one of them masked, and a LoRA": Combined(
        (Prompted(40, 2), Prompted(45, weight=0.5, masked=True)), lora=0.8
    ),
    "a picture at first, a ControlNet at last": Combined(
        (Prompted(50, when=(0.0, 0.5)),), control=Controlled(1.0, (0.5, 1.0))
    ),
    "all for a part of the way": Combined(
        (Prompted(60, masked=True, when=(0.3, 1.0)), Prompted(70, 2, when=(0.0, 0.6))),
        0.8,
        Controlled(0.9, (0.2, 0.8)),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("together")
    write_adapters(where)
    write_lora(where, LORA_FILE.name, unet_lora("a", 64))
    save_file(seeded_module(ControlNetModel(**NARROW_NET)), where / CONTROL.name)
    return where


async def requested(folder: Path, combined: Combined) -> SampleRequest:
    model = Model(NARROW)
    if combined.lora:
        model = model.changed(LORA, file=LORA_FILE, strength=combined.lora)
    vision = VisionStage(
        opener(folder),
        dtype=torch.float32,
        device=CPU,
        budget_bytes=2**30,
        adapters_of=FAMILIES.image_adapters,
    )
    for own in combined.images:
        mask = HALF.repeat_interleave(4, 0).repeat_interleave(4, 1)[None] if own.masked else None
        use = ImageUse(
            weight=own.weight, mask=mask, start_percent=own.when[0], end_percent=own.when[1]
        )
        seen, unseen = own.seen
        pictures = Pictures(seen_positive=seen, seen_negative=unseen)
        made = await vision.image_prompt(model, IpAdapter((("", BASE),)), None, pictures, use)
        model = model.changed("ip_adapter", prompt=made)
    asked = request(
        SEED,
        model=model,
        steps=STEPS,
        cfg=CFG,
        latent=Latent(torch.zeros(combined.batch, 4, SIZE, SIZE)),
    )
    return asked if combined.control is None else controlled(asked, combined.control)


def controlled(asked: SampleRequest, control: Controlled) -> SampleRequest:
    prompts = apply_control_to_both(
        prompt(SEED),
        prompt(SEED + 100),
        ControlNet(CONTROL),
        control.hint,
        strength=control.strength,
        start_percent=control.when[0],
        end_percent=control.when[1],
    )
    named = tuple(zip(("positive", "negative"), prompts, strict=True))
    return replace(asked, guider=replace(asked.guider, conditionings=named))


def stage_with_loras(folder: Path) -> SampleStage:
    loras = Loras(opener(folder), budget_bytes=2**24)
    return narrow_stage(folder, weight_changes=(LORA,), apply_changes=loras.on_model)


def alphas() -> Tensor:
    """Stable Diffusion's cumulative products, by time (Rombach et al. 2022)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def is_within(time: float, when: When) -> bool:
    start, end = ((1 - percent) * 999 for percent in when)
    return end <= time and (time <= start or when[0] == 0.0)


def with_lora(unet: UNet2DConditionModel, folder: Path, strength: float) -> UNet2DConditionModel:
    """Its formula, written into the two layers that it has: W + strength * up @ down."""
    tensors = opener(folder)(LORA_FILE)
    stem = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_"
    block: Any = unet.get_submodule("down_blocks.1.attentions.0.transformer_blocks.0.attn1")
    for layer in ("q", "v"):
        up, down = (tensors[f"{stem}{layer}.lora_{end}.weight"] for end in ("up", "down"))
        block.get_submodule(f"to_{layer}").weight.data += strength * (up @ down)
    return unet


@dataclass(frozen=True)
class Theirs:
    """A U-Net and a ControlNet of diffusers, and what one job has them do."""

    unet: UNet2DConditionModel
    control: ControlNetModel
    asked: Combined

    def noise(self, x: Tensor, time: float, context: Tensor, *, negative: bool) -> Tensor:
        """What the U-Net takes for the noise in `x`, as it is scaled for it."""
        arguments = self._controlling(x, time, context) | self._picturing(
            time, len(x), negative=negative
        )
        t = torch.full((len(x),), time)
        answer: Tensor = self.unet(x, t, encoder_hidden_states=context, **arguments).sample
        return answer

    def _picturing(self, time: float, batch: int, *, negative: bool) -> dict[str, Any]:
        images = self.asked.images
        if not images:
            return {}
        processors: Any = self.unet.attn_processors.values()
        for processor in processors:
            if hasattr(processor, "scale"):
                processor.scale = [
                    own.weight if is_within(time, own.when) else 0.0 for own in images
                ]
        embeds = [own.seen[negative].expand(batch, -1, -1) for own in images]
        masks = [HALF[None, None] if own.masked else None for own in images]
        return {
            "added_cond_kwargs": {"image_embeds": embeds},
            "cross_attention_kwargs": {"ip_adapter_masks": masks},
        }

    def _controlling(self, x: Tensor, time: float, context: Tensor) -> dict[str, Any]:
        control = self.asked.control
        if control is None or not is_within(time, control.when):
            return {}
        hint = control.hint.movedim(-1, 1).expand(len(x), -1, -1, -1)
        skips, middle = self.control(
            x,
            torch.full((len(x),), time),
            context,
            hint,
            conditioning_scale=control.strength,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": skips,
            "mid_block_additional_residual": middle,
        }


@torch.inference_mode()
def drawn_by_diffusers(folder: Path, combined: Combined) -> Tensor:
    """Euler's steps from noise to latent, under classifier-free guidance, written out."""
    unet = diffusers_unet(folder, base_projection(), len(combined.images))
    control = ControlNetModel(**NARROW_NET)
    seeded_module(control)
    theirs = Theirs(with_lora(unet, folder, combined.lora), control, combined)
    levels = ((1 - alphas()) / alphas()).sqrt().numpy()
    times = np.linspace(999, 0, STEPS)
    sigmas = [*np.exp(np.interp(times, np.arange(1000), np.log(levels))), 0.0]
    contexts = [
        own[0].tokens.expand(combined.batch, -1, -1) for own in map(prompt, (SEED, SEED + 100))
    ]
    x = drawn(SEED, combined.batch, 4, SIZE, SIZE) * (1 + sigmas[0] ** 2) ** 0.5
    for time, sigma, lower in zip(times, sigmas, sigmas[1:], strict=False):
        scaled = x / (1 + sigma**2) ** 0.5
        wanted, unwanted = (
            theirs.noise(scaled, time, context, negative=negative)
            for context, negative in zip(contexts, (False, True), strict=True)
        )
        x = x + (unwanted + CFG * (wanted - unwanted)) * (lower - sigma)
    latent: Tensor = x / LATENT_SCALE
    return latent


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[str, Tensor]:
    """What all jobs came to, that ran at once."""

    async def run() -> list[Tensor]:
        stage = stage_with_loras(folder)
        requests = [await requested(folder, combined) for combined in COMBINATIONS.values()]
        answers = await asyncio.gather(*map(stage.sample, requests))
        await stage.close()
        return [latent.samples for latent, _ in answers]

    return dict(zip(COMBINATIONS, asyncio.run(run()), strict=True))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_job_is_drawn_as_by_diffusers(name: str, ours: dict[str, Tensor], folder: Path) -> None:
    expected = drawn_by_diffusers(folder, COMBINATIONS[name])
    scale = float(expected.abs().max())
    torch.testing.assert_close(ours[name] / scale, expected / scale, rtol=0, atol=1e-3)


def test_whatever_is_combined_shows(ours: dict[str, Tensor]) -> None:
    for one, other in combinations(ours.values(), 2):
        assert float((one[-1] - other[-1]).abs().max()) > 1e-2 * float(one.abs().max())
