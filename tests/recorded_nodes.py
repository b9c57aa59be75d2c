"""What nodes of ComfyUI 0.3.64 gave (torch 2.13 on a CPU): tests/contract/nodes.npz.

It holds random inputs and, under names of their own, the outputs of ConditioningAverage,
ConditioningConcat, VAEEncodeForInpaint, InpaintModelConditioning, VAEDecodeTiled, VAEEncodeTiled
and AddNoise for them.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).parent / "contract" / "nodes.npz"


@cache
def recorded(name: str) -> Tensor:
    with np.load(FILE) as numbers:
        return torch.from_numpy(numbers[name])
