"""T2I-Adapters (Mou et al. 2023): small networks whose features do not depend on the noise.

They are worked out once for a job and added to the U-Net behind each of its down blocks.
(ComfyUI comfy/controlnet.py, T2IAdapter and load_t2i_adapter; comfy/t2i_adapter/adapter.py)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.batch.asked import Asked
from diffusion.batch.controls import unchanged
from diffusion.families.family import FOR_UNETS
from diffusion.families.sd.controlnet import fitted_hint
from diffusion.families.sd.residuals import Residuals
from diffusion.families.sd.shapes import UnetShape
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights
from graph.values import ControlNet

if TYPE_CHECKING:
    from diffusers.models.adapter import T2IAdapter

BLOCKS_PER_LEVEL = 2  # of the full adapters' original files, which number blocks right through
XL_INPUTS = frozenset({256, 768})  # channels of a grey or coloured picture in 16 by 16 patches

Kind = Literal["full_adapter", "full_adapter_xl", "light_adapter"]


@dataclass(frozen=True)
class AdapterShape:
    """`channels` of every level's feature, finest first."""

    kind: Kind
    picture_channels: int
    channels: tuple[int, ...]
    blocks: int

    @property
    def patch(self) -> int:
        """Sides of the squares of pixels that become one pixel with many channels."""
        return 16 if self.kind == "full_adapter_xl" else 8


class LoadedAdapter:
    """One set of weights."""

    pools = reads_latents = reads_masks = False
    prepared = staticmethod(unchanged)

    def __init__(self, module: "T2IAdapter", shape: AdapterShape) -> None:
        for block in module.adapter.body:
            if block.downsample is not None:
                block.downsample = EvenHalf()
        self._module = module
        self._shape = shape
        self._dtype = next(module.parameters()).dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(parameter.nbytes for parameter in self._module.parameters())

    def misfit(self, model: Any) -> str | None:
        """Why it cannot control a model of such a shape, if so."""
        if not isinstance(model, UnetShape):
            return FOR_UNETS
        unet = model
        widths = [level.channels for level in unet.levels]
        is_xl = self._shape.kind == "full_adapter_xl"
        fitting = [widths, [*widths, widths[-1]]] if is_xl else [widths]  # the middle block's last
        # Finest features join before the first downsampler where there is attention, else behind.
        if list(self._shape.channels) in fitting and any(unet.levels[0].down) is not is_xl:
            return None
        own = ", ".join(map(str, self._shape.channels))
        return f"it is a T2I-Adapter for a U-Net with other levels than this model's, of {own}"

    def guide(self, hint: Tensor, height: int, width: int, net: ControlNet) -> list[Tensor]:
        """The features of a hint [B, H, W, C] for pictures of so many pixels, finest first."""
        patch, channels = self._shape.patch, self._shape.picture_channels
        size = (-(-height // patch) * patch, -(-width // patch) * patch)
        if channels == 1:
            hint = hint.mean(dim=-1, keepdim=True)
        features: list[Tensor] = self._module(
            fitted_hint(hint, size, channels, net).to(self._dtype)
        )
        return features

    def __call__(self, asked: Sequence[Asked]) -> list[Residuals]:
        return [Residuals(blocks=tuple(map(question.of, question.guide))) for question in asked]


class EvenHalf(nn.Module):
    """Means of 2 by 2 squares; an odd side gets a row of zeros on both ends, which count."""

    def forward(self, x: Tensor) -> Tensor:
        padding = (x.shape[-2] % 2, x.shape[-1] % 2)
        return functional.avg_pool2d(x, kernel_size=2, stride=2, padding=padding)


def is_adapter(weights: Weights) -> bool:
    """Whether a file holds a T2I-Adapter."""
    names = {_name(key, weights) for key in weights}
    return bool({"adapter.conv_in.weight", "adapter.body.0.out_conv.weight"} & names)


def load_adapter(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> LoadedAdapter:
    """The T2I-Adapter of a file that holds one.

    Raises:
        BadModelFile: it is damaged, or of a kind that is not known.
    """
    keys = {_name(key, weights): key for key in weights}
    try:
        shape = _read_shape(weights, keys)
    except (KeyError, IndexError, ValueError) as error:
        raise weights.bad(problem=f"its T2I-Adapter is incomplete: {error}") from error
    from diffusers.models.adapter import T2IAdapter  # noqa: PLC0415 - takes seconds

    with torch.device("meta"):
        module: T2IAdapter = T2IAdapter(**_config(shape))
    wanted = dict(module.named_parameters())
    tensors = {n: copied(weights[key], dtype, device) for n, key in keys.items() if n in wanted}
    fill(module, weights, tensors)
    return LoadedAdapter(module, shape)


def _name(key: str, weights: Weights) -> str:
    """diffusers' name of a tensor, from that or from the original layouts'."""
    if key.startswith("adapter."):
        return key
    if "body.0.out_conv.weight" in weights:  # light: body.0.body.1.block1
        return "adapter." + re.sub(r"^(body\.\d+)\.body\.", r"\1.resnets.", key)
    numbered = re.match(r"body\.(\d+)\.(.+)", key)
    if numbered is None:
        return "adapter." + key
    level, block = divmod(int(numbered[1]), BLOCKS_PER_LEVEL)
    if numbered[2].startswith("in_conv."):
        return f"adapter.body.{level}.{numbered[2]}"
    return f"adapter.body.{level}.resnets.{block}.{numbered[2]}"


def _read_shape(weights: Weights, keys: Mapping[str, str]) -> AdapterShape:
    def width(name: str, axis: int) -> int:
        return weights.shape(keys[name])[axis]

    def row(pattern: str) -> list[str]:
        return list(takewhile(lambda name: name in keys, map(pattern.format, count())))

    blocks = len(row("adapter.body.0.resnets.{}.block1.weight"))
    if "adapter.body.0.out_conv.weight" in keys:
        channels = tuple(width(name, 0) for name in row("adapter.body.{}.out_conv.weight"))
        read = width("adapter.body.0.in_conv.weight", 1)
        return AdapterShape("light_adapter", read // 64, channels, blocks)
    channels = tuple(width(name, 0) for name in row("adapter.body.{}.resnets.0.block1.weight"))
    read = width("adapter.conv_in.weight", 1)
    if read in XL_INPUTS:
        return AdapterShape("full_adapter_xl", read // 256, channels, blocks)
    return AdapterShape("full_adapter", read // 64, channels, blocks)


def _config(shape: AdapterShape) -> dict[str, Any]:
    """Arguments of `diffusers.T2IAdapter`, whose light kind repeats its last channels itself."""
    light = shape.kind == "light_adapter"
    return {
        "in_channels": shape.picture_channels,
        "channels": list(shape.channels[:-1] if light else shape.channels),
        "num_res_blocks": shape.blocks,
        "downscale_factor": shape.patch,
        "adapter_type": shape.kind,
    }
