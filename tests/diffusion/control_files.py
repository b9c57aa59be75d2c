"""Small control files in their real layouts, and questions to the networks in them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.batch.asked import Asked
from diffusion.batch.controls import Control, LoadedControl
from diffusion.batch.parts import Part
from diffusion.batch.prompts import Embedding, Prompt, Region
from diffusion.batch.rows import Row
from diffusion.families.sd.residuals import Residuals
from diffusion.schedules.model_sampling import BEFORE_ALL, discrete
from diffusion.weights import Weights, open_weights
from graph.values import ControlNet, ControlUse, ModelFile
from tests.diffusion.model_files import CPU, filled, recorded_shapes

CONTROL = ModelFile("controlnet", "control.safetensors")
OTHER_CONTROL = ModelFile("controlnet", "other_control.safetensors")
FOREIGN = ModelFile("controlnet", "foreign.safetensors")
DAMAGED = ModelFile("controlnet", "damaged.safetensors")
ADAPTER = ModelFile("controlnet", "adapter.safetensors")


def control_tensors() -> dict[str, Tensor]:
    """In LDM's layout, for the narrow models."""
    return filled(recorded_shapes("controlnet_shapes")["controlnet"])


def adapter_tensors() -> dict[str, Tensor]:
    """A T2I-Adapter for the narrow models, whose finest level has no attention, like SDXL's."""
    shapes = recorded_shapes("controlnet_shapes")["xl"]
    further = tuple(f"body.{block}." for block in range(4, 8))
    return filled({key: shape for key, shape in shapes.items() if not key.startswith(further)})


def write_controls(folder: Path) -> None:
    """Two that fit the narrow models, one for text of another width, one that lacks a tensor."""
    control = control_tensors()
    union = filled(recorded_shapes("controlnet_shapes")["union"])
    parts = ("task_", "transformer_", "spatial_", "control_add_")
    foreign = {key: tensor for key, tensor in union.items() if not key.startswith(parts)}
    lacking = {key: tensor for key, tensor in control.items() if "middle_block_out" not in key}
    files = {
        CONTROL: {f"control_model.{key}": tensor for key, tensor in control.items()},
        OTHER_CONTROL: {key: tensor * 1.1 for key, tensor in control.items()},
        FOREIGN: foreign,
        DAMAGED: lacking,
        ADAPTER: adapter_tensors(),
    }
    for file, tensors in files.items():
        save_file(tensors, folder / file.name)


def control_weights(
    folder: Path, tensors: Mapping[str, Tensor], name: str = "c.safetensors"
) -> Weights:
    """`tensors` as an opened file."""
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)
    return open_weights(folder / name, ModelFile("controlnet", name))


def question(
    loaded: LoadedControl,
    x: Tensor,
    timestep: Tensor,
    context: Tensor,
    hint: Tensor,
    *,
    y: Tensor | None = None,
    union_type: str = "",
) -> Asked:
    """About pictures x [N, 4, h, w] under a hint [N, 3, H, W]."""
    prompt = Prompt(
        Region(None, None, 1.0, 1.0, BEFORE_ALL, 0.0), Embedding(context, y, None), x.shape
    )
    row = Row(x, torch.tensor(1.0), prompt, discrete())
    use = ControlUse(ControlNet(CONTROL, union_type=union_type), hint.movedim(1, -1))
    control = Control(use, loaded, len(x), CPU, 8, BEFORE_ALL, 0.0)
    return Asked(0, Part(row, 0, len(x)), control, x, timestep)


def one_by_one(asked: Asked) -> list[Asked]:
    """The same, as questions of jobs of one picture each."""
    embedding, hint = asked.part.row.prompt.embedding, asked.control.use.hint
    questions = []
    for i in range(asked.part.count):
        one = question(
            asked.control.loaded,
            asked.sample[i : i + 1],
            asked.timestep[i : i + 1],
            embedding.context[i : i + 1],
            hint[i : i + 1].movedim(-1, 1),
            y=None if embedding.y is None else embedding.y[i : i + 1],
        )
        use = replace(asked.control.use, hint=hint[i : i + 1])
        questions.append(replace(one, control=replace(one.control, use=use, guides={})))
    return questions


def tensors_of(residuals: Residuals) -> list[Tensor]:
    middle = [] if residuals.middle is None else [residuals.middle]
    return [*residuals.skips, *middle, *residuals.blocks]
