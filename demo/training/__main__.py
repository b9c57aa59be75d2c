"""Train all files of the demo model from their seeds: `python -m demo.training FOLDER`.

Every stage in order, each from what those before it left in FOLDER. `--tiny` takes two steps of
each, to see that all of them run.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from demo.styles import STYLES
from demo.training import autoencoder, base, control, export, latents, lora, upscaler, words
from demo.training.export import MODELS


@dataclass(frozen=True)
class Amount:
    """How much is drawn and trained; 0 steps of a LoRA are as many as its style takes."""

    autoencoder_steps: int = autoencoder.STEPS
    decoder_steps: int = autoencoder.DECODER_STEPS
    chunks: int = latents.CHUNKS
    pictures: int = latents.CHUNK
    word_steps: int = words.STEPS
    base_steps: int = base.STEPS
    adapter_chunks: int = control.CHUNKS
    lora_steps: int = 0
    control_steps: int = control.STEPS
    upscaler_steps: int = upscaler.STEPS


TINY = Amount(2, 2, 1, 24, 2, 2, 1, 2, 2, 2)
Stages = dict[str, Callable[[], None]]


def stages(folder: Path, models: Path, amount: Amount) -> Stages:
    """What is to be done, in order."""
    drawn, styled = range(amount.chunks), range(amount.adapter_chunks)
    both = {"steps": amount.autoencoder_steps, "decoder_steps": amount.decoder_steps}
    few = amount.adapter_chunks
    encoded = partial(latents.write_chunks, folder, pictures=amount.pictures)
    first: Stages = {
        "autoencoder": partial(autoencoder.train, folder, **both),
        "latents": partial(encoded, drawn),
        "words": partial(words.train, folder, amount.word_steps),
        "base": partial(base.train, folder, amount.base_steps),
        "export": partial(export.export, folder, models),
    }
    for style in STYLES:
        first[f"latents of {style}"] = partial(encoded, styled, style)
        first[f"lora {style}"] = partial(lora.train, folder, models, style, amount.lora_steps, few)
    return first | {
        "control": partial(
            control.train, folder, models, amount.control_steps, amount.adapter_chunks
        ),
        "upscaler": partial(upscaler.train, folder, models, steps=amount.upscaler_steps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to keep what is between the stages")
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write the files")
    parser.add_argument("--tiny", action="store_true", help="two steps of each stage")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, run in stages(given.folder, given.models, TINY if given.tiny else Amount()).items():
        print(name, flush=True)
        run()


if __name__ == "__main__":
    main()
