"""Schedules from tables of optimised sigmas, interpolated to other step counts.

Align Your Steps (Sabour et al. 2024): research.nvidia.com/labs/toronto-ai/AlignYourSteps.
OptimalSteps (Pei et al. 2025): github.com/bebebe666/OptimalSteps.
GITS (Chen et al. 2024): github.com/zju-pi/diff-sampler, gits-main; gits_levels.json lists the
levels it chooses from, and for each coefficient and for 2 to 20 steps which, by index.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

# fmt: off
ALIGN_YOUR_STEPS: Mapping[str, Sequence[float]] = MappingProxyType({
    "SD1": (14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
            0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    "SDXL": (14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
             0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    "SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
})
OPTIMAL_STEPS: Mapping[str, Sequence[float]] = MappingProxyType({
    "FLUX": (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    "Wan": (1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96,
            0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001),
    "Chroma": (0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931,
               0.917, 0.9, 0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55,
               0.501, 0.451, 0.402, 0.355, 0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101,
               0.084, 0.07, 0.058, 0.048, 0.001),
})
# fmt: on


def align_your_steps(model_type: str, steps: int, denoise: float = 1.0) -> Tensor:
    return _tabulated(ALIGN_YOUR_STEPS[model_type], steps, denoise)


def optimal_steps(model_type: str, steps: int, denoise: float = 1.0) -> Tensor:
    return _tabulated(OPTIMAL_STEPS[model_type], steps, denoise)


def gits(coeff: float, steps: int, denoise: float = 1.0) -> Tensor:
    """`coeff` 0.80 to 1.50 in steps of 0.05: small ones spend their steps at high sigmas."""
    tables = _gits_tables()[f"{coeff:.2f}"]
    return _tabulated(tables[min(steps, 20) - 2], steps, denoise)


def _tabulated(levels: Sequence[float], steps: int, denoise: float) -> Tensor:
    """`levels` interpolated in their logarithm; of the steps the last `denoise`, ending at 0."""
    if denoise <= 0.0:
        return torch.zeros(0)
    total = round(steps * denoise) if denoise < 1.0 else steps
    rising = np.array(levels[::-1])
    if len(rising) != steps + 1:
        places = np.linspace(0, 1, len(rising))
        rising = np.exp(np.interp(np.linspace(0, 1, steps + 1), places, np.log(rising)))
    falling = rising[::-1][-(total + 1) :].copy()
    falling[-1] = 0
    return torch.tensor(falling, dtype=torch.float32)


@cache
def _gits_tables() -> Mapping[str, Sequence[Sequence[float]]]:
    data = json.loads(Path(__file__).with_name("gits_levels.json").read_text())
    levels = data["levels"]
    return {
        coeff: [[levels[index] for index in chosen] for chosen in tables]
        for coeff, tables in data["tables"].items()
    }
