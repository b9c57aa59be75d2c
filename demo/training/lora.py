"""Train a LoRA on pictures in a style: `python -m demo.training.lora FOLDER STYLE`.

The latents of such pictures are made before, by `demo.training.latents --style STYLE`. Writes the
LoRA as kohya's scripts do, over all layers that its "conv" networks cover, and the last one.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from demo.styles import STYLES, StyleName
from demo.training.adapter_data import batches
from demo.training.export import MODELS, load_base, write
from demo.training.progress import Progress, lr_factor

RANK = 16
STEPS: Mapping[StyleName, int] = {"night": 600, "crayon": 300}
LEARNING_RATE = 3e-3
POWER = 0.5  # much noise, where a picture gets its light, is more frequent
CHUNKS = 2  # of styled latents
COVERED = (nn.Linear, nn.Conv2d)
WITHIN = (".attentions.", ".resnets.", "conv_out")


class Adapted(nn.Module):
    """A layer, and beside it one of low rank."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.lora_down: nn.Module
        self.lora_up: nn.Module
        if isinstance(layer, nn.Linear):
            self.lora_down = nn.Linear(layer.in_features, RANK, bias=False)
            self.lora_up = nn.Linear(RANK, layer.out_features, bias=False)
        else:
            size, stride, padding = layer.kernel_size, layer.stride, layer.padding
            self.lora_down = nn.Conv2d(layer.in_channels, RANK, size, stride, padding, bias=False)  # type: ignore[arg-type]
            self.lora_up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
        nn.init.zeros_(self.lora_up.get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layer(x) + self.lora_up(self.lora_down(x))
        return changed


def adapt(unet: nn.Module) -> dict[str, Adapted]:
    """Lay a LoRA beside every layer that has one; by the layer's name."""
    unet.requires_grad_(requires_grad=False)
    adapted = dict(_adapted(unet))
    for name, module in adapted.items():
        parent, _, own = name.rpartition(".")
        setattr(unet.get_submodule(parent), own, module)
    return adapted


def _adapted(unet: nn.Module) -> Iterator[tuple[str, Adapted]]:
    for name, module in list(unet.named_modules()):
        covered = any(part in f".{name}" for part in WITHIN)
        if covered and isinstance(module, nn.Linear | nn.Conv2d):
            yield name, Adapted(module)


def kohya(adapted: dict[str, Adapted]) -> dict[str, Tensor]:
    """The tensors of the file."""
    tensors = {}
    for name, module in adapted.items():
        stem = "lora_unet_" + name.replace(".", "_")
        tensors[f"{stem}.alpha"] = torch.tensor(float(RANK))
        for part in ("lora_down", "lora_up"):
            tensors[f"{stem}.{part}.weight"] = getattr(module, part).weight
    return tensors


def train(
    folder: Path, models: Path, style: StyleName, steps: int = 0, chunks: int = CHUNKS
) -> None:
    """`steps` 0 are as many as the style takes."""
    steps = steps or STEPS[style]
    torch.manual_seed(7)
    model = load_base(folder)
    adapted = adapt(model.unet)
    parameters = [p for p in model.unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, (0.9, 0.99), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    progress = Progress(folder / f"{style}.log", steps)
    for batch in batches(model, folder, chunks, steps, style=style, power=POWER):
        loss = batch.loss(model.unet(batch.x, batch.t, encoder_hidden_states=batch.tokens).sample)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.step(float(loss.detach()))
    write(kohya(adapted), models / f"loras/comfyray-demo-{style}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the base model and the latents are")
    parser.add_argument("style", choices=[*STYLES])
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write the file")
    parser.add_argument("--steps", type=int, default=0, help="0: as many as it takes")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.folder, given.models, given.style, given.steps)


if __name__ == "__main__":
    main()
