"""Train the diffusion model: `python -m demo.training.base FOLDER`.

Noise prediction over the noise schedule of SD 1.x, weighted by min-SNR (Hang et al. 2023), with
empty captions in between for classifier-free guidance. Each caption is read once for two noises.
The text encoder stays as `demo.training.words` leaves it: trained on, it forgets the words that
the U-Net does not listen to yet.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from demo.captions import caption
from demo.scenes import Scene
from demo.training.latents import path_of, read_chunk
from demo.training.progress import Averaged, Progress, lay_channels_last, lr_factor
from demo.training.text import WIDTH, CaptionEncoder
from diffusion.families.sd.shapes import Level, UnetShape
from diffusion.text.tokenizer import ClipTokenizer

SHAPE = UnetShape(
    in_channels=4,
    out_channels=4,
    context_dim=WIDTH,
    y_dim=None,
    linear=False,
    levels=(Level(64, (0,), (0, 0)), Level(96, (1,), (1, 1)), Level(128, (1,), (1, 1))),
    mid=1,
)
STEPS, CAPTIONS, NOISES = 4450, 16, 2
LEARNING_RATE = 1e-3
EMPTY_SHARE = 0.1
COARSE = 0.2  # at first; falls with the learning rate
STRANGE_SHARE = 0.05  # of captions, with a word in them that says nothing
STRANGE_WORDS = ("photo", "beautiful", "masterpiece", "the", "nice", "image", "best", "quality")
SNR_LIMIT = 5.0
READ_AGAIN = 200  # steps, after which chunks that were drawn since are read too


def alphas() -> Tensor:
    """How much of the picture is left in variance at each of 1000 timesteps."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


ALPHAS = alphas()


class Model(nn.Module):
    """The diffusion model with its text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.text = CaptionEncoder(ClipTokenizer())
        self.unet = UNet2DConditionModel(**SHAPE.config())
        lay_channels_last(self.unet)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Latents [N, 4, h, w] and the scenes in them."""

    latents: Tensor
    scenes: Sequence[Scene]


def read(folder: Path) -> Drawn:
    """All chunks that are there."""
    latents, scenes, chunk = [], list[Scene](), 0
    while path_of(folder, chunk).exists():
        own, shown = read_chunk(folder, chunk)
        latents.append(own)
        scenes += shown
        chunk += 1
    return Drawn(torch.cat(latents), scenes)


def texts_of(scenes: Sequence[Scene], rng: np.random.Generator) -> Iterator[str]:
    """A caption for each scene, for some an empty one."""
    for scene in scenes:
        draw = rng.random()
        words = caption(scene, rng)
        if draw > 1 - STRANGE_SHARE:
            word = STRANGE_WORDS[int(rng.integers(len(STRANGE_WORDS)))]
            words = f"{word} {words}" if rng.random() < 0.5 else f"{words}, {word}"
        yield "" if draw < EMPTY_SHARE else words


def noised(
    latents: Tensor, coarse: float = 0.0, *, power: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, their timesteps, which are spread evenly over a batch, and the noise.

    With a `power` below 1, timesteps with much noise are more frequent.

    `coarse` is the deviation of noise that whole pictures, and quarters of their sides, have in
    common. It hides what little is to be seen of backgrounds and places in much noise, so that
    words are listened to, as they must be when a picture is drawn (offset noise).
    """
    count, channels = latents.shape[:2]
    t = (((torch.randperm(count) + torch.rand(count)) / count) ** power * 1000).long()
    alpha = ALPHAS[t][:, None, None, None]
    noise = torch.randn_like(latents)
    for side in (1, 4):
        shared = coarse * torch.randn(count, channels, side, side)
        noise = noise + functional.interpolate(shared, latents.shape[2:], mode="nearest")
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise, t, noise


def weighted_loss(predicted: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The squared error of noise: less where little noise is, and more where hardly anything else.

    There the color of the background is decided, by words alone when a picture is drawn: in
    training the mean of the noisy picture gives it away, and would be learned instead.
    """
    snr = ALPHAS[t] / (1 - ALPHAS[t])
    error = (predicted - noise).square().mean(dim=(1, 2, 3))
    return (error * snr.clamp(max=SNR_LIMIT) / snr * snr.rsqrt().clamp(min=1)).mean()


def loss_of(model: Model, latents: Tensor, texts: Sequence[str], coarse: float) -> Tensor:
    """`latents` [NOISES * B, ...] repeat those of `texts` [B]."""
    x, t, noise = noised(latents, coarse)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        tokens = model.text(texts).repeat(len(latents) // len(texts), 1, 1)
    predicted = model.unet(x, t, encoder_hidden_states=tokens).sample
    return weighted_loss(predicted, noise, t)


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def train(folder: Path, steps: int = STEPS, seed: int = 4, start: Path | None = None) -> None:
    """`start` has earlier weights of the U-Net to go on from."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Model()
    if start is not None:
        model.load_state_dict(torch.load(start))
    model.text.load_state_dict(torch.load(folder / "words.pt"))
    model.text.requires_grad_(requires_grad=False)
    averaged = Averaged(model, decay=0.997)
    optimizer = torch.optim.AdamW(parameter_groups(model), LEARNING_RATE, (0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    progress = Progress(folder / "base.log", steps)
    for step in range(steps):
        if step % READ_AGAIN == 0:
            drawn = read(folder)
        chosen = torch.from_numpy(rng.integers(len(drawn.scenes), size=CAPTIONS))
        texts = list(texts_of([drawn.scenes[i] for i in chosen], rng))
        latents = drawn.latents[chosen].float().repeat(NOISES, 1, 1, 1)
        loss = loss_of(model, latents, texts, COARSE * lr_factor(step, steps))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(model)
        progress.step(float(loss.detach()))
        if (step + 1) % 250 == 0 or step + 1 == steps:
            torch.save(averaged.state(), folder / "base.part")
            (folder / "base.part").rename(folder / "base.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where latents are, and where to keep the result")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--start", type=Path, help="earlier weights to go on from")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.folder, given.steps, given.seed, given.start)


if __name__ == "__main__":
    main()
