"""Train the autoencoder: `python -m demo.training.autoencoder FOLDER`.

Crops of 64 px for most of the time, whole pictures at the end. The decoder reads latents with a
little noise on them, so that it forgives a sampler's small errors. What is written has latents of
mean 0 and deviation 1 / 0.18215 per channel, as the loader of SD 1.x expects: the change of scale
is laid into the two 1x1 convolutions around the latent.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from demo.drawing import SIDE, Picture, draw
from demo.scenes import random_scene
from demo.styles import STYLES
from demo.training.progress import Averaged, Progress, lay_channels_last, lr_factor
from diffusion.autoencoder.network import VaeShape
from diffusion.families.sd.family import SD15_LATENT

SHAPE = VaeShape(channels=(64, 32, 96, 128), layers=1, latent_channels=4, quant=True)
CROP = 64  # px
STEPS, SLOWED_AS, DECODER_STEPS = 900, 2000, 400  # the learning rate falls as for 2000
BATCH, LEARNING_RATE = 4, 1e-3
USUAL_FLOOR, FLOOR = 1e-6, 1.0  # of variance in norms: in files, and in training
COLOR_CHANNELS = tuple(((at, 1.0), (at + 1, -1.0)) for at in (0, 4, 8))
STREAM_STARTS = (".conv_in", ".conv1", ".conv2", ".to_out.0")
STREAM_PASSES = (".conv_shortcut", "samplers.0.conv")
WHOLE_FROM = 0.75  # of the steps; from there on whole pictures, a quarter as many
NOISE = 0.1  # on latents
SPREAD_WEIGHT = 2e-3  # of the latents' squares in the loss
STYLED_SHARE = 0.25  # of the pictures, so that the styles of the LoRAs can be drawn


def random_picture(rng: np.random.Generator) -> Picture:
    picture = draw(random_scene(rng), rng)
    if rng.random() < STYLED_SHARE:
        style = list(STYLES.values())[int(rng.integers(len(STYLES)))]
        picture = style(picture, rng)
    return picture


def batches(rng: np.random.Generator, steps: int, whole_from: float) -> Iterator[Tensor]:
    """[B, 3, H, W] in -1..1: crops, and from that part of the steps on whole pictures."""
    for step in range(steps):
        if step < whole_from * steps:
            pictures = [random_crop(random_picture(rng), rng) for _ in range(BATCH)]
        else:
            pictures = [random_picture(rng) for _ in range(BATCH // 4)]
        yield as_pixels(np.stack(pictures))


def random_crop(picture: Picture, rng: np.random.Generator) -> Picture:
    y, x = (int(rng.integers(0, (SIDE - CROP) // 8 + 1)) * 8 for _ in range(2))
    return picture[y : y + CROP, x : x + CROP]


def as_pixels(pictures: Picture) -> Tensor:
    """[B, H, W, 3] bytes to [B, 3, H, W] in -1..1."""
    pixels = torch.from_numpy(pictures).movedim(-1, 1).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def loss_of(vae: AutoencoderKL, pixels: Tensor, noise: float) -> Tensor:
    """How far pictures are from what comes back, in color and in edges."""
    latent = vae.encode(pixels).latent_dist.mean
    back = vae.decode(latent + noise * torch.randn_like(latent)).sample
    edges = functional.l1_loss(back.diff(dim=-1), pixels.diff(dim=-1)) + functional.l1_loss(
        back.diff(dim=-2), pixels.diff(dim=-2)
    )
    flat = functional.l1_loss(back, pixels) / 2 + functional.mse_loss(back, pixels) * 2
    spread = latent.square().mean() * (NOISE / noise) ** 2
    loss: Tensor = flat + edges + SPREAD_WEIGHT * spread
    return loss


@torch.no_grad()
def prepare(vae: AutoencoderKL) -> None:
    """Begin as an average over 8 by 8 pixels on the way in, and a blur on the way out.

    Red, green and blue go through channels of their own, each beside its negative: together they
    pass a norm and SiLU as they are. Norms get a high floor: with few channels to a group, the
    usual one would leave of an even color no more than its sign.
    """
    for name, module in vae.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = FLOOR
        elif name.endswith(".conv2"):
            nn.init.normal_(module.get_parameter("weight"), std=1e-3)
        elif isinstance(module, nn.Conv2d) and not name.endswith(".conv1"):
            start_as_passage(module)


def start_as_passage(conv: nn.Conv2d) -> None:
    """Let colors pass a convolution. A side with up to 8 channels has colors as they are."""
    conv.weight.mul_(3**0.5)  # torch's own start makes signals weaker
    assert conv.bias is not None
    taps = torch.zeros(conv.weight.shape[2:])
    if conv.stride[0] == 2:
        taps[:2, :2] = 0.25
    elif conv.in_channels == conv.out_channels and len(taps) == 3:
        taps[:] = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
    else:
        taps[len(taps) // 2, len(taps) // 2] = 1
    for color, signed in enumerate(COLOR_CHANNELS):
        rows = ((color, 1.0),) if conv.out_channels <= 8 else signed
        columns = ((color, 1.0),) if conv.in_channels <= 8 else signed
        for row, sign in rows:
            conv.weight[row] = 0
            conv.bias[row] = 0
            for column, other in columns:
                conv.weight[row, column] = taps * (sign * other / len(columns))


@torch.no_grad()
def lay_in_floor(vae: AutoencoderKL) -> None:
    """The same with the floor that norms of files have: make all that norms read smaller."""
    scale = (USUAL_FLOOR / FLOOR) ** 0.5
    for name, module in vae.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = USUAL_FLOOR
        elif name.endswith(STREAM_STARTS):
            module.get_parameter("weight").mul_(scale)
            module.get_parameter("bias").mul_(scale)
        elif name.endswith(STREAM_PASSES):
            module.get_parameter("bias").mul_(scale)


@torch.inference_mode()
def rescale(vae: AutoencoderKL, rng: np.random.Generator, pictures: int = 200) -> None:
    """Make the mean of latents 0 and their deviation 1 / 0.18215, for pictures without a style."""
    latents = torch.cat(
        [
            vae.encode(as_pixels(draw(random_scene(rng), rng)[None])).latent_dist.mean
            for _ in range(pictures)
        ]
    )
    mean = latents.mean(dim=(0, 2, 3))
    scale = 1 / SD15_LATENT.scale / latents.std(dim=(0, 2, 3))
    half = len(scale)  # then come the logarithms of the variances
    weight, bias = (vae.get_parameter(f"quant_conv.{kind}") for kind in ("weight", "bias"))
    weight[:half] *= scale[:, None, None, None]
    bias[:half] = (bias[:half] - mean) * scale
    weight[half:] = 0
    bias[half:] = 2 * torch.log(NOISE * scale)
    weight, bias = (vae.get_parameter(f"post_quant_conv.{kind}") for kind in ("weight", "bias"))
    bias.add_(weight[:, :, 0, 0] @ mean)
    weight.div_(scale[None, :, None, None])


def together(vae: AutoencoderKL, rng: np.random.Generator, steps: int) -> Iterator[Tensor]:
    """Losses of both halves. Ends with the scale of latents as it is to be."""
    for pixels in batches(rng, steps, whole_from=1):
        yield loss_of(vae, pixels, NOISE)


def decoder_alone(vae: AutoencoderKL, rng: np.random.Generator, steps: int) -> Iterator[Tensor]:
    """Losses of the decoder, over latents that stay as they are."""
    assert vae.quant_conv is not None
    for half in (vae.encoder, vae.quant_conv):
        half.requires_grad_(requires_grad=False)
    for pixels in batches(rng, steps, WHOLE_FROM):
        yield loss_of(vae, pixels, NOISE / SD15_LATENT.scale)


def follow(
    vae: AutoencoderKL,
    losses: Iterator[Tensor],
    rate: Callable[[int], float],
    progress: Progress,
    part: Path,
) -> None:
    """Train on `losses`, and leave `vae` with its averaged weights."""
    averaged = Averaged(vae, decay=0.99)
    optimizer = torch.optim.AdamW(vae.parameters(), LEARNING_RATE, (0.9, 0.99), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step, loss in enumerate(losses):
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(vae)
        progress.step(float(loss.detach()))
        if (step + 1) % 100 == 0:
            torch.save(averaged.state(), part)
    vae.load_state_dict(averaged.state())


def save(vae: AutoencoderKL, path: Path) -> None:
    """As a file for use, with the norms that files have."""
    usual = copy.deepcopy(vae)
    lay_in_floor(usual)
    torch.save(usual.state_dict(), path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def train(
    folder: Path, *, seed: int = 1, steps: int = STEPS, decoder_steps: int = DECODER_STEPS
) -> None:
    """Both halves, then the decoder alone."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vae = AutoencoderKL(**SHAPE.config())
    prepare(vae)
    lay_channels_last(vae)
    part = folder / "autoencoder_part.pt"
    progress = Progress(folder / "autoencoder.log", steps)
    losses = together(vae, rng, steps)
    follow(vae, losses, lambda step: lr_factor(step, SLOWED_AS), progress, part)
    rescale(vae, rng)
    save(vae, folder / "autoencoder.pt")
    progress = Progress(folder / "decoder.log", decoder_steps)
    losses = decoder_alone(vae, rng, decoder_steps)
    follow(vae, losses, lambda step: lr_factor(step, decoder_steps) / 2, progress, part)
    save(vae, folder / "autoencoder_final.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to keep the result")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    train(given.folder, seed=given.seed)


if __name__ == "__main__":
    main()
