"""Motion modules of random weights, for the narrow U-Net of the other tests."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.motion.network import Layout, MotionNetwork
from graph.values import ModelFile
from tests.diffusion.model_files import seeded

FRAMES = 16
MOTION = ModelFile("animatediff_models", "motion.safetensors")
FIRST = ModelFile("animatediff_models", "first.safetensors")  # version 1: no middle
OTHER_MOTION = ModelFile("animatediff_models", "other_motion.safetensors")
MOTION_LORA = ModelFile("animatediff_motion_lora", "motion_lora.safetensors")
Tensors = Mapping[str, Tensor]


def layout(*, middle: bool = True, frames: int = FRAMES) -> Layout:
    """Two levels of 32 and 64 channels, as the narrow U-Net has them."""
    return Layout(((32, 1), (64, 1)), ((64, 2), (32, 2)), (64, 1) if middle else None, frames, 2)


def motion_tensors(own: Layout, seed: str = "") -> dict[str, Tensor]:
    """In AnimateDiff's names, with attention that tells frames apart."""
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in MotionNetwork(own).named_parameters()}
    tensors = {name: seeded(seed + name, tuple(shape)) for name, shape in shapes.items()}
    return {
        name: tensor * 3 if name.endswith("to_q.weight") else tensor
        for name, tensor in tensors.items()
    }


def lora_tensors(rank: int = 4) -> dict[str, Tensor]:
    """For a module with a middle, whose only change is to the first layer's queries and outputs."""
    start = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"
    found = {}
    for leaf in ("to_q", "to_out"):
        name = f"{start}.attention_blocks.0.processor.{leaf}_lora"
        found[f"{name}.down.weight"] = seeded(f"{name}.down", (rank, 32))
        found[f"{name}.up.weight"] = seeded(f"{name}.up", (32, rank))
    return found


def write_motion(folder: Path) -> None:
    files = {
        MOTION: motion_tensors(layout()),
        OTHER_MOTION: motion_tensors(layout(), "other "),
        FIRST: motion_tensors(layout(middle=False)),
        MOTION_LORA: lora_tensors(),
    }
    for file, tensors in files.items():
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / file.name)
