"""Pictures drawn again in tiles, against what ComfyUI_UltimateSDUpscale makes of them.

tests/contract/redraw.npz was made by the pack (commit 34a3c2c) over Coyote-A's script (2322caa),
with a sampler and an autoencoder as simple as those here.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion.upscaling.tile_conditions import Cut, cut_conditioning
from diffusion.upscaling.tiled_redraw import UnevenTilesError, redraw
from graph.redraw import Drawing, Tiles
from graph.sampling import SampleRequest
from graph.values import Condition, ControlNet, ControlUse, Latent, Model, ModelFile, Vae
from imaging.redraw_tiles import Tiling, in_the_way, tiles_of

with np.load(Path(__file__).parent.parent / "contract" / "redraw.npz") as archive:
    RECORDED = {name: archive[name] for name in archive}
SAID = json.loads(RECORDED["cases"].tobytes())
CASES: dict[str, dict[str, Any]] = dict(SAID["cases"])
IMAGE = torch.from_numpy(RECORDED["image"].astype(np.float32) / 255)
ANY = ModelFile("checkpoints", "any.safetensors")
DRAWING = Drawing(Model(ANY), (), (), Vae(ANY), 1, 1, 1.0, "euler", "normal", 0.3, False)


def multiple(image: Tensor) -> Tensor:
    """The middle of pictures, in multiples of 8."""
    height, width = (side // 8 * 8 for side in image.shape[1:3])
    y, x = ((side % 8) // 2 for side in image.shape[1:3])
    return image[:, y : y + height, x : x + width]


@dataclass
class Inverting:
    """A stage whose latents are pictures, and whose drawing is half of their negative and mean."""

    at_once: int = 0
    most_at_once: int = 0
    requests: list[SampleRequest] = field(default_factory=list)

    async def encode(self, _vae: Vae, image: Tensor) -> Tensor:
        return multiple(image)

    async def decode(self, _vae: Vae, latent: Latent) -> Tensor:
        return latent.samples  # type: ignore[no-any-return]

    async def decode_tiled(self, vae: Vae, latent: Latent, **_options: int) -> Tensor:
        return await self.decode(vae, latent)

    async def sigmas(self, *_args: Any, **_options: Any) -> Tensor:
        return torch.tensor([1.0, 0.0])

    async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]:
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        for _ in range(5):  # others may come in between
            await asyncio.sleep(0)
        self.at_once -= 1
        x = request.latent.samples
        drawn = Latent((0.5 * x.mean((1, 2, 3), keepdim=True) + 0.5 * (1 - x)).clamp(0, 1))
        return drawn, drawn


def tiles(case: dict[str, Any]) -> Tiles:
    return Tiles(**{name: case[name] for name in Tiles.__dataclass_fields__})


async def drawn(drawer: Inverting, case: dict[str, Any]) -> Tensor:
    image = IMAGE[: case["n"]]
    upscaled = image.repeat_interleave(4, 1).repeat_interleave(4, 2) if case["model"] else None
    return await redraw(drawer, image, DRAWING, tiles(case), factor=case["by"], upscaled=upscaled)


@pytest.mark.parametrize("name", CASES)
async def test_the_picture_is_the_packs(name: str) -> None:
    found = await drawn(Inverting(), CASES[name])
    expected = torch.from_numpy(RECORDED[name].astype(np.float32) / 255)
    torch.testing.assert_close(found, expected, rtol=0, atol=1.01 / 255)
    assert float((found - expected).abs().mean()) < 0.1 / 255


async def test_tiles_that_do_not_see_each_other_are_drawn_at_once() -> None:
    drawer = Inverting()
    await drawn(drawer, CASES["chess"])
    assert drawer.most_at_once > 1


def test_a_tile_waits_for_its_neighbours_alone() -> None:
    tiling = Tiling((64, 64), 8, 4, "Linear", "None", 0, 0, 0, uniform=True)
    first, second, third, *_ = tiles_of((256, 64), tiling)
    assert in_the_way(first, second)
    assert not in_the_way(first, third)


async def test_a_failing_tile_fails_the_picture_with_its_own_error() -> None:
    class Broken(Inverting):
        async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]:
            raise UnevenTilesError(7)

    with pytest.raises(UnevenTilesError, match="7"):
        await drawn(Broken(), CASES["chess"])


async def test_a_batch_of_uneven_tiles_is_refused() -> None:
    with pytest.raises(UnevenTilesError, match="batch_size 3"):
        await drawn(Inverting(), {**CASES["batched"], "force_uniform_tiles": False})


def test_prompts_are_cut_as_by_the_pack() -> None:
    hint = torch.from_numpy(RECORDED["cond_hint_in"])
    net = ControlNet(ModelFile("controlnet", "any.safetensors"))
    condition = Condition(
        torch.zeros(1, 1, 1),
        strength=0.5,
        area=(5, 6, 2, 3),
        mask=torch.from_numpy(RECORDED["cond_mask_in"]),
        controls=(ControlUse(net, hint),),
    )
    boxes = tuple(tuple(box) for box in SAID["regions"])
    (found,) = cut_conditioning((condition,), Cut(boxes, (104, 72), (208, 144), (80, 80)))
    assert found.area == tuple(SAID["area"])
    torch.testing.assert_close(found.controls[0].hint, torch.from_numpy(RECORDED["cond_hint"]))
    torch.testing.assert_close(
        found.mask, torch.from_numpy(RECORDED["cond_mask"]), rtol=0, atol=1.01 / 255
    )


def test_an_area_elsewhere_is_for_the_whole_tile() -> None:
    condition = Condition(torch.zeros(1, 1, 1), strength=0.5, area=(1, 1, 0, 0))
    cut = Cut(((100, 100, 180, 180),), (200, 200), (200, 200), (80, 80))
    (found,) = cut_conditioning((condition,), cut)
    assert (found.area, found.strength) == (None, 1.0)
