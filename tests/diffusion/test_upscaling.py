"""Upscaling models, from seeded files in the layout that ESRGAN's authors wrote.

tests/contract/upscaling.npz holds the seam between two tiles as ComfyUI 0.3.64 draws it:
comfy.utils.tiled_scale in tiles of 512 with an overlap of 32, over the model of `esrgan()` and the
picture of `wide_picture()`; every sixth row and every third column of columns 1880 to 2090.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.upscaling.models import LoadedUpscaler, load_upscaler
from diffusion.upscaling.stage import (
    SMALLEST_TILE,
    StoppedError,
    Turns,
    UpscaleStage,
    in_tiles,
)
from diffusion.weights import open_weights
from graph.errors import BadModelFile
from graph.values import ModelFile, UpscaleModel
from imaging.sizes import ImageTooLargeError
from tests.diffusion.model_files import CPU, filled, recorded, written

FILE = ModelFile("upscale_models", "m.safetensors")
MODEL = UpscaleModel(FILE)
ROOT = Path(__file__).parents[2]


def esrgan(features: int = 8, grown: int = 32) -> dict[str, Tensor]:
    """ESRGAN x4 with one block, under the names of its first release."""
    ends = {"0": 3, "1.sub.1": features, "3": features, "6": features, "8": features, "10": 3}
    sides = {
        f"model.{name}": (3 if name == "10" else features, 3 if name == "0" else features)
        for name in ends
    }
    for block in (1, 2, 3):
        for conv in range(1, 6):
            into = features if conv == 5 else grown
            name = f"model.1.sub.0.RDB{block}.conv{conv}.0"
            sides[name] = into, features + (conv - 1) * grown
    weights = {f"{name}.weight": (*side, 3, 3) for name, side in sides.items()}
    biases = {f"{name}.bias": side[:1] for name, side in sides.items()}
    return filled({**weights, **biases}) | {"model.10.bias": torch.full((3,), 0.5)}


def wide_picture() -> Tensor:
    """Two tiles wide, [1, 24, 560, 3]."""
    drawn = np.random.default_rng(7).random((1, 3, 24, 560), dtype=np.float32)
    return torch.from_numpy(drawn).movedim(1, -1)


def loaded(folder: Path) -> LoadedUpscaler:
    return load_upscaler(written(folder, esrgan()), device=CPU)


def stage(folder: Path) -> UpscaleStage:
    return UpscaleStage(
        lambda file: open_weights(folder / file.name, file), device=CPU, budget_bytes=2**24
    )


def turns(tell: Callable[[int, int], None] = lambda _done, _of: None) -> Turns:
    return Turns(Lock(), tell)


async def test_the_seam_between_tiles_is_that_of_comfyui(tmp_path: Path) -> None:
    written(tmp_path, esrgan())
    upscaled = await stage(tmp_path).upscale(MODEL, wide_picture())
    assert upscaled.shape == (1, 96, 2240, 3)
    seam = upscaled[0, ::6, 1880:2090:3].movedim(-1, 0)
    torch.testing.assert_close(seam, recorded("upscaling")["seam"], atol=1e-5, rtol=0)


def test_tiles_are_the_whole_picture_away_from_their_edges(tmp_path: Path) -> None:
    upscale = loaded(tmp_path)
    x = wide_picture().movedim(-1, 1)
    difference = (in_tiles(upscale, 4, x, turns()) - upscale(x)).abs().amax(dim=(0, 1, 2))
    assert difference[: 4 * 480].max() < 1e-4
    assert difference[4 * 512 :].max() < 1e-4
    assert difference.max() > 1e-3  # or there was no seam at all


async def test_every_tile_of_every_picture_is_told(tmp_path: Path) -> None:
    written(tmp_path, esrgan())
    told: list[tuple[int, int]] = []
    pictures = wide_picture()[:, :4].repeat(2, 1, 1, 1)
    await stage(tmp_path).upscale(MODEL, pictures, lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def larger(x: Tensor, *, room: int, sides: list[int]) -> Tensor:
    """`x` twice as large; out of memory where a side is over `room`."""
    sides.append(max(x.shape[-2:]))
    if sides[-1] > room:
        raise torch.OutOfMemoryError
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_tiles_get_smaller_until_they_fit() -> None:
    x = torch.rand(1, 3, 8, 600)
    sides: list[int] = []
    told: list[tuple[int, int]] = []
    work = partial(larger, room=256, sides=sides)
    upscaled = in_tiles(work, 2, x, turns(lambda done, of: told.append((done, of))))
    torch.testing.assert_close(upscaled, larger(x, room=600, sides=[]))
    assert sides == [512, 256, 256, 152]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_no_tile_gets_smaller_than_the_smallest() -> None:
    sides: list[int] = []
    with pytest.raises(torch.OutOfMemoryError):
        in_tiles(partial(larger, room=1, sides=sides), 2, torch.rand(1, 3, 8, 600), turns())
    assert sides == [512, 256, SMALLEST_TILE]


def test_who_is_not_waited_for_gives_up_the_next_tile() -> None:
    sides: list[int] = []
    mine = turns(lambda _done, _of: mine.stop.set())
    with pytest.raises(StoppedError):
        in_tiles(partial(larger, room=512, sides=sides), 2, torch.rand(1, 3, 8, 600), mine)
    assert sides == [512]


async def test_a_result_that_is_too_large_is_refused_before_any_work(tmp_path: Path) -> None:
    written(tmp_path, esrgan())
    with pytest.raises(ImageTooLargeError):
        await stage(tmp_path).upscale(MODEL, torch.zeros(1).expand(1, 2**13, 2**13, 3))


class Harmful:
    """What a malicious pickle does when it is loaded by an unrestricted loader."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path("harm"),)


def without(key: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in esrgan().items() if name != key}


WRONG = "model.1.sub.0.RDB1.conv1.0.weight"
MALFORMED = {
    "of another family": ({"lora_up.weight": torch.ones(2, 2)}, "no known upscaling model"),
    "incomplete": (without("model.1.sub.0.RDB2.conv1.0.weight"), "RDB2.conv1.0.weight' is missing"),
    "of a wrong shape": (
        {**esrgan(), WRONG: torch.ones(8, 3, 3, 3)},
        "RDB1.conv1.0.weight' has another shape",
    ),
    "for grey pictures": (
        {**esrgan(), "model.0.weight": torch.ones(8, 1, 3, 3)},
        "pictures of 1 channels to 3",
    ),
    "larger than itself": (
        {**esrgan(), "model.0.weight": torch.empty(30_000, 0, 3, 3)},
        "do not belong to a file this small",
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_file_says_why_it_is_refused_and_the_next_is_not(what: str, tmp_path: Path) -> None:
    tensors, problem = MALFORMED[what]
    written(tmp_path, tensors, "bad.safetensors")
    written(tmp_path, esrgan())
    upscalers = stage(tmp_path)
    bad = UpscaleModel(ModelFile("upscale_models", "bad.safetensors"))
    with pytest.raises(BadModelFile, match=problem) as refused:
        await upscalers.upscale(bad, wide_picture()[:, :4, :4])
    assert (refused.value.folder, refused.value.name) == ("upscale_models", "bad.safetensors")
    assert (await upscalers.upscale(MODEL, wide_picture()[:, :4, :4])).shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"),
        ("code.pth", pickle.dumps({"params": Harmful()})),
    ],
)
async def test_a_file_that_is_cut_or_has_code_in_it_is_refused(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadModelFile, match=name):
        await stage(tmp_path).upscale(
            UpscaleModel(ModelFile("upscale_models", name)), torch.zeros(1, 4, 4, 3)
        )
    assert not (tmp_path / "harm").exists()


async def test_of_two_sets_of_weights_the_averaged_one_is_used(tmp_path: Path) -> None:
    save_file(esrgan(), tmp_path / FILE.name)
    raw = {key: torch.zeros_like(tensor) for key, tensor in esrgan().items()}
    torch.save({"params": raw, "params_ema": esrgan()}, tmp_path / "both.pth")
    upscalers, picture = stage(tmp_path), wide_picture()[:, :8, :8]
    both = UpscaleModel(ModelFile("upscale_models", "both.pth"))
    upscaled = await upscalers.upscale(both, picture)
    assert torch.equal(upscaled, await upscalers.upscale(MODEL, picture))


def test_the_stage_needs_neither_torchvision_nor_spandrel_to_start() -> None:
    program = (
        "import sys; import diffusion.upscaling.stage;"
        "sys.exit(', '.join({'spandrel', 'torchvision', 'diffusers'} & sys.modules.keys()) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stderr.strip(), ran.returncode) == ("", 0)
