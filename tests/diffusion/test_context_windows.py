"""ComfyUI's own context windows."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.batch.prompts import Embedding, Prompt, Region
from diffusion.motion.context_windows import WindowAxisError, prepare_windows, windowed
from diffusion.motion.windows import WindowOverlapError, frames_of
from graph.motion import CONTEXT_WINDOWS, Windows
from graph.nodes.context_windows import apply_video_windows, apply_windows
from graph.sampling import SampleRequest
from graph.values import Change, Latent, Model
from tests.diffusion.core_sampling import close
from tests.diffusion.narrow_stage import NARROW, narrow_stage, prompt, request, write_models

LAID: dict[str, dict[str, Any]] = {
    "batch": {"context_length": 3, "context_overlap": 1},
    "static": {"dim": 2, "context_length": 8, "fuse_method": "overlap-linear"},
    "uniform": {
        "dim": 2,
        "context_schedule": "standard_uniform",
        "context_stride": 2,
        "context_length": 6,
        "context_overlap": 2,
        "fuse_method": "flat",
    },
    "looped": {
        "dim": 2,
        "context_schedule": "looped_uniform",
        "closed_loop": True,
        "fuse_method": "relative",
        "context_length": 8,
        "context_overlap": 1,
        "context_stride": 2,
    },
    "batched": {"dim": 3, "context_schedule": "batched", "context_length": 6},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    write_models(folder)
    return folder


def asked(shape: tuple[int, ...], **laid: Any) -> SampleRequest:
    model = apply_windows(model=Model(NARROW), **{"context_schedule": "standard_static", **laid})
    asked = request(steps=6, positive=prompt(1), negative=prompt(101), model=model)
    return replace(asked, latent=Latent(torch.zeros(shape)))


async def test_windows_see_and_count_as_in_comfyui(models: Path) -> None:
    """Pictures of a batch do not see each other, so windows along an axis of each tell more."""
    stage = narrow_stage(models)
    for name, laid in LAID.items():
        shape = (7, 4, 8, 8) if name == "batch" else (1, 4, 16, 8)
        found, _ = await stage.sample(asked(shape, **laid))
        assert close(found.samples, f"windows/{name}"), name
    await stage.close()


async def test_an_axis_that_is_not_there_is_refused(models: Path) -> None:
    stage = narrow_stage(models)
    for axis in (1, 4):
        with pytest.raises(WindowAxisError, match="0 or 2 to 3"):
            await stage.sample(asked((1, 4, 8, 8), dim=axis, context_length=2))
    await stage.close()


def test_windows_of_videos_are_as_long_as_their_latents() -> None:
    model = apply_video_windows(model=Model(NARROW), context_schedule="batched")
    change = model.changes[-1]
    assert (change.kind, change["axis"]) == (CONTEXT_WINDOWS, 2)
    assert change["windows"] == Windows("batched", 21, 8, fuse_method="pyramid")


def test_what_lies_beside_a_video_is_cut_with_it() -> None:
    beside = torch.arange(5.0).reshape(1, 1, 5, 1, 1).expand(1, 4, 5, 2, 2)
    said = Embedding(torch.zeros(1, 5, 3), concat=beside)
    whole = Prompt(Region(None, None, 1.0, 1.0, 9.0, 0.0), said, torch.Size((1, 16, 5, 2, 2)))
    own = windowed(whole, (3, 4), 2)
    assert own.shape == (1, 16, 2, 2, 2)
    assert own.embedding.context is said.context
    assert own.concat is not None
    assert own.concat[0, 0, :, 0, 0].tolist() == [3.0, 4.0]
    mask = torch.arange(4.0).reshape(1, 2, 2)
    masked = replace(whole, region=replace(whole.region, mask=mask))
    assert windowed(masked, (3, 4), 2).region.mask is mask
    rows = windowed(masked, (1,), 3).region.mask
    assert rows is not None
    assert rows.tolist() == [[[2.0, 3.0]]]


@pytest.mark.parametrize("overlap", [16, 200, 4095])
def test_windows_that_do_not_move_on_are_refused(overlap: int) -> None:
    windows = Windows("standard_uniform", 16, overlap)
    change = Change(CONTEXT_WINDOWS, (("windows", windows), ("axis", 0)))
    with pytest.raises(WindowOverlapError, match="at most 15 for windows of 16"):
        prepare_windows([change], (100, 4, 8, 8), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("schedule", ["standard_uniform", "looped_uniform", "standard_static"])
def test_windows_are_of_frames_that_are_there(schedule: str) -> None:
    for frames, stride, step in itertools.product((17, 19, 33, 100), (1, 2, 3), range(6)):
        windows = frames_of(Windows(schedule, 16, 4, stride), frames, step)
        assert {frame for own in windows for frame in own} <= set(range(frames))
