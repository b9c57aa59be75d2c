"""Train the text encoder to tell what captions say: `python -m demo.training.words FOLDER`.

The diffusion model learns to read in a fraction of the time when what it reads is sorted: here the
states at the end of a caption learn to name shape, color, background and so on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from demo.captions import caption
from demo.scenes import (
    COLORS,
    FILLS,
    PATTERNS,
    PLACES_OF_MANY,
    PLACES_OF_ONE,
    SHAPES,
    SIZES,
    Scene,
    random_scene,
)
from demo.training.progress import Averaged, Progress, lr_factor
from demo.training.text import LENGTH, WIDTH, CaptionEncoder
from diffusion.text.tokenizer import END, ClipTokenizer

STEPS, BATCH, LEARNING_RATE = 1000, 32, 1e-3
PLACES = (*PLACES_OF_ONE, *PLACES_OF_MANY)


class Heads(nn.Module):
    """What each attribute is, from the states after a caption's last word."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [len(SHAPES), len(COLORS), len(COLORS), len(PATTERNS), 3]
        self.sizes = [*sizes, len(PLACES), len(SIZES), len(FILLS)]
        self.linear = nn.Linear(WIDTH, sum(self.sizes))

    def loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """`states` [B, WIDTH], `labels` [B, attributes]."""
        logits = self.linear(states).split(self.sizes, dim=1)
        losses = [functional.cross_entropy(x, labels[:, i]) for i, x in enumerate(logits)]
        return torch.stack(losses).sum()


def labels_of(scenes: Sequence[Scene]) -> Tensor:
    return torch.tensor(
        [
            [
                SHAPES.index(scene.shape),
                COLORS.index(scene.color),
                COLORS.index(scene.background.color),
                PATTERNS.index(scene.background.pattern),
                scene.count - 1,
                PLACES.index(scene.place),
                SIZES.index(scene.size),
                FILLS.index(scene.fill),
            ]
            for scene in scenes
        ]
    )


def ends(encoder: CaptionEncoder, texts: Sequence[str]) -> list[int]:
    """Where captions end."""
    last = encoder.known.index(END) + 1
    return [encoder.rows(text).index(last) for text in texts]


def train(folder: Path, steps: int = STEPS) -> None:
    torch.manual_seed(9)
    rng = np.random.default_rng(9)
    encoder, heads = CaptionEncoder(ClipTokenizer()), Heads()
    both = nn.ModuleList([encoder, heads])
    averaged = Averaged(encoder, decay=0.98)
    optimizer = torch.optim.AdamW(both.parameters(), LEARNING_RATE, (0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    progress = Progress(folder / "words.log", steps)
    for step in range(steps):
        scenes = [random_scene(rng) for _ in range(BATCH)]
        texts = [caption(scene, rng) for scene in scenes]
        states, rows = encoder(texts), torch.arange(BATCH)
        first = torch.tensor(ends(encoder, texts))
        later = first + (torch.rand(BATCH) * (LENGTH - first)).long()  # any of the padding
        loss = sum(heads.loss(states[rows, at], labels_of(scenes)) for at in (first, later))
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(encoder)
        progress.step(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            torch.save(averaged.state(), folder / "words.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to keep the result")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    train(given.folder, given.steps)


if __name__ == "__main__":
    main()
