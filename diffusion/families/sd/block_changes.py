"""Changes between U-Net blocks: FreeU on skip connections, downscaled middle blocks.

They are applied to as hooks for one call of the network and taken off after it. Blocks are numbered
as in the original U-Net: what enters or leaves one is a layer's input or output here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import Module

from diffusion.families.sd.network import Unet
from graph.values import Change
from imaging.resize import resize


def freeu(change: Change, width: int, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the channels amplified, and the skip's lowest frequencies weighed (Si et al. 2023).

    At the two coarsest widths, `width` being the finest. (ComfyUI comfy_extras/nodes_freelunch.py)
    """
    scales = _scales(change, width, h)
    if scales is None:
        return h, skip
    return _half_scaled(h, scales[0]), low_frequencies_scaled(skip, scales[1])


def freeu_v2(change: Change, width: int, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
    """As `freeu`, but the channels are amplified where their mean is high."""
    scales = _scales(change, width, h)
    if scales is None:
        return h, skip
    mean = h.mean(1, keepdim=True)
    low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    structure = (mean - low) / (high - low)
    amplified = _half_scaled(h, (scales[0] - 1) * structure + 1)
    return amplified, low_frequencies_scaled(skip, scales[1])


def _scales(change: Change, width: int, h: Tensor) -> tuple[float, float] | None:
    by_channels = {4 * width: ("b1", "s1"), 2 * width: ("b2", "s2")}
    names = by_channels.get(h.shape[1])
    return None if names is None else (change[names[0]], change[names[1]])


def _half_scaled(h: Tensor, scale: Tensor | float) -> Tensor:
    half = h.shape[1] // 2
    return torch.cat([h[:, :half] * scale, h[:, half:]], dim=1)


def low_frequencies_scaled(x: Tensor, scale: float) -> Tensor:
    """The frequencies 0 and -1 along both axes of [B, C, h, w] times `scale`."""
    spectrum = torch.fft.fftn(x.float(), dim=(-2, -1))
    mask = torch.ones(x.shape[-2:], device=x.device)
    for row in {0, x.shape[-2] - 1}:
        for column in {0, x.shape[-1] - 1}:
            mask[row, column] = scale
    filtered: Tensor = torch.fft.ifftn(spectrum * mask, dim=(-2, -1)).real.to(x.dtype)
    return filtered


SkipChange: TypeAlias = Callable[[Change, int, Tensor, Tensor], tuple[Tensor, Tensor]]
SKIP_CHANGES: Mapping[str, SkipChange] = MappingProxyType({"freeu": freeu, "freeu_v2": freeu_v2})
DOWNSCALE = "downscale"
BLOCK_CHANGES = frozenset({*SKIP_CHANGES, DOWNSCALE})


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a U-Net where its numbered blocks begin and end."""

    input_starts: tuple[Module, ...]
    input_ends: tuple[Module, ...]
    middle: tuple[Module, ...]  # one, or none
    output_starts: tuple[Module, ...]
    output_ends: tuple[Module, ...]
    upsamplers: tuple[Module, ...]


def layers_of(unet: Unet) -> Layers:
    """The layers of `unet`, in the order in which they are run."""
    downs: Any = unet.down_blocks
    ups: Any = unet.up_blocks
    starts: list[Module] = [unet.conv_in]
    ends: list[Module] = [unet.conv_in]
    output_ends: list[Module] = []
    for block in downs:
        down = list(block.downsamplers or ())
        starts += [*block.resnets, *down]
        ends += [*_ends(block), *down]
    for block in ups:
        up = list(block.upsamplers or ())
        output_ends += [*_ends(block)[: -1 if up else None], *up]
    return Layers(
        tuple(starts),
        tuple(ends),
        () if unet.mid_block is None else (unet.mid_block,),
        tuple(resnet for block in ups for resnet in block.resnets),
        tuple(output_ends),
        tuple(upsampler for block in ups for upsampler in block.upsamplers or ()),
    )


def _ends(block: Any) -> list[Module]:
    return list(getattr(block, "attentions", None) or block.resnets)


@dataclass(frozen=True, eq=False)
class Passage:
    """One call on its way through the blocks."""

    changes: tuple[Change, ...]
    width: int
    skips: list[torch.Size] = field(default_factory=list)  # that are not read yet

    def left_input(self, number: int, h: Tensor) -> Tensor:
        """What block `number` gives on, as its skip and to the next block."""
        for change in self._shrinking(number, after_skip=False):
            h = _shrunk(change, h)
        self.skips.append(h.shape)
        return h

    def behind_input(self, number: int, h: Tensor) -> Tensor:
        """What the block behind block `number` gets of it."""
        for change in self._shrinking(number, after_skip=True):
            h = _shrunk(change, h)
        return h

    def _shrinking(self, number: int, *, after_skip: bool) -> Iterator[Change]:
        for change in self.changes:
            here = change.kind == DOWNSCALE and change["block_number"] == number
            if here and change["downscale_after_skip"] == after_skip:
                yield change

    def beside_skip(self, h: Tensor) -> Tensor:
        """`h` in the size of the skip that is next."""
        methods = [c["upscale_method"] for c in self.changes if c.kind == DOWNSCALE]
        height, width = self.skips[-1][-2:]
        if not methods or h.shape[-2:] == self.skips[-1][-2:]:
            return h
        return resize(h, width, height, methods[0])

    def joined(self, both: Tensor) -> Tensor:
        """What enters an output block: `both` is the way so far and then the skip."""
        channels = both.shape[1] - self.skips.pop()[1]
        h, skip = both[:, :channels], both[:, channels:]
        for change in self.changes:
            if change.kind in SKIP_CHANGES:
                h, skip = SKIP_CHANGES[change.kind](change, self.width, h, skip)
        return torch.cat([h, skip], dim=1)


def _shrunk(change: Change, h: Tensor) -> Tensor:
    factor = 1.0 / change["downscale_factor"]
    height, width = (round(side * factor) for side in h.shape[-2:])
    return resize(h, width, height, change["downscale_method"])


@contextmanager
def changed_blocks(unet: Unet, changes: Sequence[Change]) -> Iterator[None]:
    """One call of `unet` under `changes`, of which it keeps none."""
    applied = tuple(change for change in changes if change.kind in BLOCK_CHANGES)
    with ExitStack() as hooks:
        if applied:
            _apply(hooks, layers_of(unet), Passage(applied, unet.shape.levels[0].channels))
        yield


def _apply(hooks: ExitStack, layers: Layers, passage: Passage) -> None:
    for number, layer in enumerate(layers.input_ends):
        _behind(hooks, layer, partial(passage.left_input, number))
    for number, layer in enumerate((*layers.input_starts[1:], *layers.middle)):
        _before(hooks, layer, partial(passage.behind_input, number))
    for layer in (*layers.middle, *layers.output_ends[:-1]):
        _behind(hooks, layer, passage.beside_skip)
    for layer in layers.output_starts:
        _before(hooks, layer, passage.joined)
    for layer in layers.upsamplers:
        _upsampled_to_skip(hooks, layer, passage)


def _before(hooks: ExitStack, layer: Module, change: Callable[[Tensor], Tensor]) -> None:
    def changed(_: Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(arguments[0]), *arguments[1:])

    hooks.callback(layer.register_forward_pre_hook(changed).remove)


def _behind(hooks: ExitStack, layer: Module, change: Callable[[Tensor], Tensor]) -> None:
    def changed(_: Module, __: tuple[Any, ...], output: Any) -> Any:
        return (change(output[0]),) if isinstance(output, tuple) else change(output)

    hooks.callback(layer.register_forward_hook(changed).remove)


def _upsampled_to_skip(hooks: ExitStack, layer: Module, passage: Passage) -> None:
    def changed(_: Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments[0], tuple(passage.skips[-1][-2:])

    hooks.callback(layer.register_forward_pre_hook(changed).remove)
