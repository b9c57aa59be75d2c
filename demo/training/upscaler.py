"""Train the upscaler: `python -m demo.training.upscaler FOLDER`. Writes its file at the end."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from demo.drawing import SIDE, Picture, draw
from demo.scenes import random_scene
from demo.training.autoencoder import as_pixels
from demo.training.export import MODELS, write
from demo.training.progress import Progress, lr_factor
from diffusion.upscaling.models import import_spandrel

FILE = "upscale_models/comfyray-demo-x2.safetensors"
SCALE, FILTERS, BLOCKS = 2, 16, 2
STEPS, BATCH, LEARNING_RATE = 400, 8, 1e-3
CROP = 64  # px of the large picture


def network() -> nn.Module:
    """An ESRGAN in the layout that most files have."""
    import_spandrel()
    from spandrel.architectures.ESRGAN import ESRGAN  # type: ignore[import-untyped] # noqa: PLC0415

    made: nn.Module = ESRGAN(num_filters=FILTERS, num_blocks=BLOCKS, scale=SCALE)
    return made


def pairs(rng: np.random.Generator, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Small and large pictures, [B, 3, h, w] in 0..1; the small ones are averages, some blurred."""
    for _ in range(steps):
        large = (as_pixels(np.stack([crop(rng) for _ in range(BATCH)])) + 1) / 2
        small = functional.avg_pool2d(large, SCALE)
        if rng.random() < 0.5:
            soft = functional.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
            small = small + (soft - small) * float(rng.random())
        yield small, large


def crop(rng: np.random.Generator) -> Picture:
    y, x = rng.integers(0, SIDE - CROP + 1, 2)
    return draw(random_scene(rng), rng)[y : y + CROP, x : x + CROP]


def train(folder: Path, models: Path, *, seed: int = 5, steps: int = STEPS) -> None:
    torch.manual_seed(seed)
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, (0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    progress = Progress(folder / "upscaler.log", steps)
    for small, large in pairs(np.random.default_rng(seed), steps):
        loss = functional.l1_loss(net(small), large)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.step(float(loss.detach()))
    write(net.state_dict(), models / FILE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the log goes")
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write the file")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.folder, given.models, seed=given.seed)


if __name__ == "__main__":
    main()
