"""Numbers that ComfyUI 0.3.64 gave on the CPU, from tests/contract/schedules.npz.

Recorded by calling comfy.model_sampling's classes, comfy.samplers' schedulers, the *Scheduler and
sigma nodes and comfy.sample.prepare_noise with the arguments that stand in each name.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def recorded() -> dict[str, Tensor]:
    """Name -> float64 tensor."""
    archive = np.load(Path(__file__).parent / "contract" / "schedules.npz")
    names, shapes = json.loads(str(archive["index"]))
    sizes = [int(np.prod(shape)) for shape in shapes]
    pieces = torch.split(torch.tensor(archive["values"]), sizes)
    return {
        name: piece.reshape(shape) for name, shape, piece in zip(names, shapes, pieces, strict=True)
    }
