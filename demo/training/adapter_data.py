"""What adapters are trained on: latents, captions and pictures of the first chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo.styles import StyleName
from demo.training.base import Model, noised, texts_of, weighted_loss
from demo.training.latents import read_chunk

ROWS = 24  # of a batch
COARSE = 0.15  # as in the training of the base model


@dataclass(frozen=True, eq=False)
class Batch:
    """Noisy latents with their timesteps and noise, encoded captions, and the scenes' places."""

    x: Tensor
    t: Tensor
    noise: Tensor
    tokens: Tensor
    chosen: Tensor

    def loss(self, predicted: Tensor) -> Tensor:
        return weighted_loss(predicted, self.noise, self.t)


def batches(
    model: Model,
    folder: Path,
    chunks: int,
    steps: int,
    *,
    style: StyleName | None = None,
    silent: float = 0.0,
    power: float = 1.0,
) -> Iterator[Batch]:
    """Batches of the pictures in one style, `silent` of them without their captions.

    `power` is that of `demo.training.base.noised`.
    """
    rng = np.random.default_rng(6)
    read = [read_chunk(folder, i, style) for i in range(chunks)]
    latents = torch.cat([own for own, _ in read]).float()
    scenes = [scene for _, shown in read for scene in shown]
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(len(scenes), size=ROWS))
        with torch.no_grad():
            texts = texts_of([scenes[i] for i in chosen], rng)
            tokens = model.text(["" if rng.random() < silent else text for text in texts])
        x, t, noise = noised(latents[chosen], COARSE, power=power)
        yield Batch(x.contiguous(memory_format=torch.channels_last), t, noise, tokens, chosen)
