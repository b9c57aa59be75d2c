"""What all trainings share: averaged weights, a learning rate over time, a log."""

import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn

WARM_UP_STEPS = 50
LOG_EVERY = 50


def lr_factor(step: int, steps: int, *, least: float = 0.01) -> float:
    """Rises over the first steps, then falls along half a cosine."""
    part = min(1.0, step / steps)
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (
        least + (1 - least) * (1 + math.cos(math.pi * part)) / 2
    )


def lay_channels_last(module: nn.Module) -> None:
    """Keep kernels the way convolutions on a CPU are fastest with."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


class Averaged:
    """An exponential moving average of a module's weights, which follows fast at first."""

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self._weights = {name: p.detach().clone() for name, p in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self._weights[name].lerp_(value, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        return self._weights


class Progress:
    """Writes the mean loss and the time of each stretch of steps to a file."""

    def __init__(self, path: Path, steps: int) -> None:
        self._path = path
        self._steps = steps
        self._losses: list[float] = []
        self._start = time.monotonic()

    def step(self, loss: float) -> None:
        self._losses.append(loss)
        done = len(self._losses)
        if done % LOG_EVERY == 0 or done == self._steps:
            recent = self._losses[-LOG_EVERY:]
            seconds = time.monotonic() - self._start
            line = (
                f"step {done}/{self._steps} loss {sum(recent) / len(recent):.4f} {seconds:.0f} s\n"
            )
            with self._path.open("a") as file:
                file.write(line)
