"""ControlNets of Qwen-Image: InstantX's, also with a mask beside the hint, and Fun's.

(ComfyUI comfy/controlnet.py, load_controlnet_qwen_instantx, QwenFunControlNet;
comfy/ldm/qwen_image/controlnet.py)
"""

import math
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.call import Added
from diffusion.dit.control import Heard, LoadedDitControl
from diffusion.dit.reading import counted
from diffusion.dit.rotary import rotations
from diffusion.dit.tokens import PATCH
from diffusion.families.family import ControlSource, without_float16
from diffusion.families.qwen_image.blocks import Block
from diffusion.families.qwen_image.network import THETA, QwenImage, packed_frames, placed
from diffusion.families.qwen_image.shapes import MARKS, QwenImageShape, read_shape
from diffusion.latent_format import WAN21_LATENT, process_in
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

MODEL_BLOCKS = 60  # of the models that they are made for
HINT = "controlnet_x_embedder.weight"
FUN = "control_img_in.weight"
FUN_BLOCKS = range(0, MODEL_BLOCKS, 12)  # of the model, behind which Fun's say something


class Control(LoadedDitControl):
    """What both kinds have in common."""

    family = "Qwen-Image"

    def scaled(self, latents: Tensor) -> Tensor:
        return process_in(WAN21_LATENT, latents)


class InstantXControl(Control):
    """Blocks of its own for the picture and the text."""

    def hint_channels(self) -> int:
        return int(self._module.controlnet_x_embedder.in_features) // PATCH**2

    def behind(self, heard: Heard) -> Added:
        module, dtype = self._module, heard.sample.dtype
        picture, text, times, places = inputs_of(module, heard)
        picture = picture + module.controlnet_x_embedder(packed_frames(heard.hint).to(dtype))
        said = []
        pairs = zip(module.transformer_blocks, module.controlnet_blocks, strict=True)
        for block, out in pairs:
            picture, text = block(picture, text, times, places)
            said.append(out(picture))
        return Added(tuple(said))

    def spread(self, added: Added, _shape: Any) -> Added:
        times = math.ceil(MODEL_BLOCKS / len(added.double))
        spread = [one for one in added.double for _ in range(times)]
        return Added(tuple(spread[:MODEL_BLOCKS]))


class FunControl(Control):
    """A few blocks beside those of the model, whose first layers it uses."""

    def __init__(self, module: Any, base: QwenImage) -> None:
        self._base = base
        super().__init__(module, base.shape)

    def hint_channels(self) -> int:
        return WAN21_LATENT.channels  # beside it are a mask and a picture, of which none are given

    def strength(self, strength: float) -> float:
        return math.sqrt(max(strength, 0.0))

    def behind(self, heard: Heard) -> Added:
        module = self._module
        picture, text, times, places = inputs_of(self._base, heard)
        rows, columns = heard.hint.shape[-2:]
        whole = functional.pad(heard.hint, (0, columns % PATCH, 0, rows % PATCH))
        hint = packed_frames(whole).to(picture.dtype)
        missing = module.control_img_in.in_features - hint.shape[-1]
        own = module.control_img_in(functional.pad(hint, (0, missing)))
        own = module.control_blocks[0].before_proj(own) + picture
        said = []
        for block in module.control_blocks:
            own, text = block(own, text, times, places)
            said.append(block.after_proj(own))
        return Added(tuple(said))

    def spread(self, added: Added, _shape: Any) -> Added:
        nothing = torch.zeros_like(added.double[0])
        said = dict(zip(FUN_BLOCKS, added.double, strict=False))
        return Added(tuple(said.get(block, nothing) for block in range(max(said) + 1)))


def inputs_of(module: Any, heard: Heard) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Picture and text as the blocks are given them, the time, and where the tokens lie."""
    dtype = heard.sample.dtype
    picture = module.img_in(packed_frames(heard.sample))
    text = module.txt_in(module.txt_norm(heard.context))
    times = module.time_text_embed(heard.times, dtype)[:, None]
    positions = placed(text.shape[1], [heard.sample], "index").to(text.device)
    return picture, text, times, rotations(positions, module.shape.axes, THETA)


class FunBlock(Block):
    """A block, and what it says to the model."""

    def __init__(self, shape: QwenImageShape, *, first: bool) -> None:
        super().__init__(shape.width, shape.mlp, shape.head)
        if first:
            self.before_proj = nn.Linear(shape.width, shape.width)
        self.after_proj = nn.Linear(shape.width, shape.width)


class FunNetwork(nn.Module):
    """All of Fun's own, under the names that files have."""

    def __init__(self, shape: QwenImageShape, channels: int, blocks: int) -> None:
        super().__init__()
        self.control_img_in = nn.Linear(channels, shape.width)
        self.control_blocks = nn.ModuleList(
            FunBlock(shape, first=first) for first in (True, *repeat(False, blocks - 1))
        )

    @property
    def controlnet_blocks(self) -> list[Any]:
        """What it speaks through."""
        return [block.after_proj for block in self.control_blocks]


def is_instantx(weights: Weights) -> bool:
    """Whether a file holds one of InstantX's."""
    return HINT in weights and all(mark in weights for mark in MARKS)


def is_fun(weights: Weights) -> bool:
    """Whether a file holds one of Fun's."""
    return FUN in weights and "control_blocks.0.after_proj.weight" in weights


def load_instantx(source: ControlSource) -> InstantXControl:
    """The ControlNet of a file. Raises BadModelFile where something is missing."""
    weights = source.weights
    shape = read_shape(weights)
    assert shape is not None
    channels = weights.shape(HINT)[1]
    with torch.device("meta"):
        module: Any = QwenImage(shape)
        del module.norm_out, module.proj_out
        module.controlnet_x_embedder = nn.Linear(channels, shape.width)
        module.controlnet_blocks = nn.ModuleList(
            nn.Linear(shape.width, shape.width) for _ in range(shape.layers)
        )
    _fill(module, source)
    return InstantXControl(module, shape)


def load_fun(source: ControlSource) -> FunControl:
    """The ControlNet of a file, for one model. Raises BadModelFile where it does not fit."""
    weights, base = source.weights, source.model
    if not isinstance(base.shape, QwenImageShape):
        problem = "it is a ControlNet for Qwen-Image, which this model is not"
        raise weights.bad(problem=problem)
    width, channels = weights.shape(FUN)
    if width != base.shape.width:
        problem = f"it is for models of width {width}, this model's is {base.shape.width}"
        raise weights.bad(problem=problem)
    blocks = counted(weights, "control_blocks.{}.")
    hidden = weights.shape("control_blocks.0.img_mlp.net.0.proj.weight")[0]
    with torch.device("meta"):
        module = FunNetwork(replace(base.shape, mlp=hidden), channels, blocks)
    _fill(module, source)
    return FunControl(module, base.module)


def _fill(module: nn.Module, source: ControlSource) -> None:
    weights, dtype = source.weights, without_float16(source.dtype)
    wanted = {name for name, _ in module.named_parameters()} & set(weights)
    fill(module, weights, {name: copied(weights[name], dtype, source.device) for name in wanted})
