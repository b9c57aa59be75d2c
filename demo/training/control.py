"""Train a ControlNet that goes by edges: `python -m demo.training.control FOLDER`.

It begins as a copy of the base model's encoder; the base model stays as it is. Hints are what the
served Canny node makes of the pictures.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from demo.training import base
from demo.training.adapter_data import Batch, batches
from demo.training.export import MODELS, load_base, renamed, write
from demo.training.latents import pixels_of, read_chunk
from demo.training.progress import Averaged, Progress, lay_channels_last, lr_factor
from diffusion.families.sd.shapes import module_names, skip_widths
from preprocessors.canny import canny

FILE = "controlnet/comfyray-demo-canny.safetensors"
HINT_WIDTHS = (16, 24, 32, 48)
SHARED = (
    "in_channels",
    "block_out_channels",
    "down_block_types",
    "mid_block_type",
    "transformer_layers_per_block",
    "use_linear_projection",
    "attention_head_dim",
    "cross_attention_dim",
)
LOW, HIGH = 0.1, 0.3  # of Canny
STEPS, LEARNING_RATE = 1000, 1e-3
LEAVING = ("controlnet_down_blocks.", "controlnet_mid_block.")
FASTER = 4.0  # learns what leaves the network, which starts at zero
SILENT = 0.5  # of the pictures have no caption, so that edges must tell
CHUNKS = 2


def edges_of(folder: Path, chunks: int) -> Tensor:
    """Hints [N, 1, H, W] of all pictures in the first chunks."""
    found = []
    for chunk in range(chunks):
        _, scenes = read_chunk(folder, chunk)
        picture = (pixels_of(scenes, chunk) + 1) / 2
        for rows in picture.movedim(1, -1).split(50):
            found.append(canny(rows, LOW, HIGH)[..., 0].bool())
    return torch.cat(found)[:, None]


def from_base(model: base.Model) -> ControlNetModel:
    """The encoder of the U-Net, and a new block that reads hints."""
    config = base.SHAPE.config()
    control: ControlNetModel = ControlNetModel(
        **{name: config[name] for name in SHARED},
        layers_per_block=config["layers_per_block"][0],
        conditioning_embedding_out_channels=HINT_WIDTHS,
    )
    own = control.state_dict()
    control.load_state_dict(
        {**own, **{key: t for key, t in model.unet.state_dict().items() if key in own}}
    )
    # Zero at the end, and torch's own start before, would be a slow start for so short a training.
    for module in control.controlnet_cond_embedding.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    lay_channels_last(control)
    return control


def predicted(model: base.Model, control: ControlNetModel, batch: Batch, hints: Tensor) -> Tensor:
    hint = hints[batch.chosen].float().expand(-1, 3, -1, -1)
    skips, middle = control(batch.x, batch.t, batch.tokens, controlnet_cond=hint, return_dict=False)
    noise: Tensor = model.unet(
        batch.x,
        batch.t,
        encoder_hidden_states=batch.tokens,
        down_block_additional_residuals=skips,
        mid_block_additional_residual=middle,
    ).sample
    return noise


def file_name(key: str) -> str:
    """What a tensor is called in the files of the first ControlNets."""
    names = {theirs: ldm for ldm, theirs in module_names(base.SHAPE).items()}
    blocks = [f"blocks.{i}" for i in range(2 * (len(HINT_WIDTHS) - 1))]
    for i, block in enumerate(["conv_in", *blocks, "conv_out"]):
        names[f"controlnet_cond_embedding.{block}"] = f"input_hint_block.{2 * i}"
    for i in range(len(skip_widths(base.SHAPE))):
        names[f"controlnet_down_blocks.{i}"] = f"zero_convs.{i}.0"
    names["controlnet_mid_block"] = "middle_block_out.0"
    return f"control_model.{renamed(key, names)}"


def parameter_groups(control: ControlNetModel) -> list[dict[str, object]]:
    named = list(control.named_parameters())
    leaving = [parameter for name, parameter in named if name.startswith(LEAVING)]
    others = [parameter for name, parameter in named if not name.startswith(LEAVING)]
    return [{"params": others}, {"params": leaving, "lr": FASTER * LEARNING_RATE}]


def cldm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors."""
    return {file_name(key): tensor for key, tensor in tensors.items()}


def train(folder: Path, models: Path, steps: int = STEPS, chunks: int = CHUNKS) -> None:
    torch.manual_seed(8)
    model = load_base(folder).requires_grad_(requires_grad=False)
    hints = edges_of(folder, chunks)
    control = from_base(model)
    averaged = Averaged(control, decay=0.99)
    optimizer = torch.optim.AdamW(parameter_groups(control), LEARNING_RATE, (0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    progress = Progress(folder / "control.log", steps)
    for step, batch in enumerate(batches(model, folder, chunks, steps, silent=SILENT)):
        loss = batch.loss(predicted(model, control, batch, hints))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(control.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(control)
        progress.step(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            write(cldm(averaged.state()), models / FILE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the base model and the latents are")
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write the file")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.folder, given.models, given.steps)


if __name__ == "__main__":
    main()
