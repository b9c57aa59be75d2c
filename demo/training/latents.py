"""Draw scenes and encode them: `python -m demo.training.latents FOLDER`.

Writes chunks of latents beside the words of their scenes, for the training of the base model.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from demo.drawing import draw
from demo.scenes import Scene, random_scene
from demo.styles import STYLES, StyleName
from demo.training.autoencoder import SHAPE, as_pixels
from demo.training.progress import lay_channels_last
from diffusion.families.sd.family import SD15_LATENT

CHUNK, CHUNKS = 500, 19
ROWS = 10  # pictures per call


def load_autoencoder(folder: Path) -> AutoencoderKL:
    vae: AutoencoderKL = AutoencoderKL(**SHAPE.config())
    vae.load_state_dict(torch.load(folder / "autoencoder.pt"))
    lay_channels_last(vae)
    vae.eval().requires_grad_(requires_grad=False)
    return vae


@torch.inference_mode()
def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """[B, 3, H, W] in -1..1 to latents [B, 4, h, w] of mean 0 and deviation 1."""
    means = [vae.encode(rows).latent_dist.mean for rows in pixels.split(ROWS)]
    return torch.cat(means) * SD15_LATENT.scale


def scenes_of(chunk: int, *, seed: int = 2) -> list[Scene]:
    rng = np.random.default_rng((seed, chunk))
    return [random_scene(rng) for _ in range(CHUNK)]


def pixels_of(scenes: list[Scene], chunk: int, style: StyleName | None = None) -> Tensor:
    rng = np.random.default_rng((3, chunk))
    pictures = [draw(scene, rng) for scene in scenes]
    if style is not None:
        pictures = [STYLES[style](picture, rng) for picture in pictures]
    return as_pixels(np.stack(pictures))


def path_of(folder: Path, chunk: int, style: StyleName | None = None) -> Path:
    return folder / "latents" / f"{style or 'plain'}_{chunk:03}.pt"


def write_chunks(
    folder: Path, chunks: Iterable[int], style: StyleName | None = None, *, pictures: int = CHUNK
) -> None:
    """Draw and encode the first `pictures` of each chunk."""
    vae = load_autoencoder(folder)
    (folder / "latents").mkdir(exist_ok=True)
    for chunk in chunks:
        path = path_of(folder, chunk, style)
        latents = encode(vae, pixels_of(scenes_of(chunk)[:pictures], chunk, style)).half()
        torch.save(latents, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)


def read_chunk(
    folder: Path, chunk: int, style: StyleName | None = None
) -> tuple[Tensor, list[Scene]]:
    """Latents and their scenes."""
    latents: Tensor = torch.load(path_of(folder, chunk, style))
    return latents, scenes_of(chunk)[: len(latents)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the autoencoder is")
    parser.add_argument("--style", choices=[*STYLES], help="pictures in the style of a LoRA")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    chunks = range(given.first, given.first + given.chunks)
    write_chunks(given.folder, chunks, given.style)


if __name__ == "__main__":
    main()
