"""IP-Adapter files: what makes tokens of pictures is diffusers', and what is damaged is refused."""

from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from diffusion.vision.ip_adapter import load_projection
from graph.errors import BadModelFile
from tests.diffusion.image_files import (
    SEEN,
    WIDTH,
    base_projection,
    full_projection,
    in_one_file,
    plus_projection,
)
from tests.diffusion.model_files import CPU, written
from tests.diffusion.narrow_adapters import Projection
from tests.diffusion.narrow_stage import drawn


@pytest.mark.parametrize(
    ("projection", "shape"),
    [
        (base_projection(), (2, SEEN)),
        (plus_projection(), (2, 5, WIDTH)),
        (full_projection(), (2, 257, WIDTH)),
    ],
    ids=["base", "plus", "full"],
)
def test_the_tokens_of_a_picture_are_diffusers(
    projection: Projection, shape: tuple[int, ...], tmp_path: Path
) -> None:
    theirs = UNet2DConditionModel._convert_ip_adapter_image_proj_to_diffusers(
        None, dict(projection), low_cpu_mem_usage=False
    )
    seen = drawn(1, *shape)
    weights = written(tmp_path, {f"image_proj.{name}": t for name, t in projection.items()})
    ours = load_projection(weights, dtype=torch.float32, device=CPU)
    with torch.inference_mode():
        torch.testing.assert_close(ours(seen), theirs(seen), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image_proj.norm.bias": None}, "not whole"),
        ({"image_proj.proj.weight": torch.zeros(7, SEEN)}, "not whole"),
    ],
)
def test_a_damaged_or_unsupported_adapter_is_refused(
    change: dict[str, Tensor | None], problem: str, tmp_path: Path
) -> None:
    whole: dict[str, Tensor | None] = {**in_one_file(base_projection(), {}), **change}
    tensors = {name: tensor for name, tensor in whole.items() if tensor is not None}
    with pytest.raises(BadModelFile, match=problem):
        load_projection(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
