"""The denoiser: many rows of many jobs, one call of the network.

Rows of one latent shape and with the same patches go through the UNet together, each with its own
sigma, prompt and prediction type. Prompts of different token counts are repeated to their least
common multiple, which leaves attention's result as it is (ComfyUI comfy/conds.py, CONDCrossAttn).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.batch.calls import Calls, Limits, denoised_by, times_of
from diffusion.batch.parts import Part, vectors
from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Row
from diffusion.families.family import LoadedModel
from diffusion.families.sd.attention import (
    AttentionCall,
    KeysAndValues,
    cross_attention_layers,
)
from diffusion.families.sd.block_changes import changed_blocks
from diffusion.families.sd.contexts import Contexts
from diffusion.families.sd.grounding import call_grounding, widths_of
from diffusion.families.sd.image_prompts import call_images
from diffusion.families.sd.network import Unet
from diffusion.families.sd.residuals import added_by_controls
from diffusion.networks.convolutions import place_convolutions

LONGEST_REPEAT = 16  # times that a prompt may be repeated to reach a common length
FEATURE_MAPS = 96  # at the finest level, as many are alive at once at the peak of a call


@dataclass(frozen=True, eq=False)
class Prompts:
    """The prompts of one batch, side by side: the same until a job joins or leaves."""

    key: tuple[Hashable, ...]
    prompts: tuple[Prompt, ...]  # held, so that no id in `key` is given away
    keys_and_values: KeysAndValues
    concat: Tensor | None
    y: Tensor | None


class UnetDenoiser:
    """One set of weights that answers rows. Called by one thread at a time."""

    def __init__(self, model: LoadedModel, limits: Limits) -> None:
        module: Unet = model.module
        widest = module.shape.levels[0].channels
        self._module = module
        self._dtype = limits.dtype
        self._device = limits.device
        self._layout = place_convolutions(module, limits.device)
        self._contexts = Contexts(cross_attention_layers(module), limits.dtype, limits.scope)
        self._transformers = {name: number for number, name in enumerate(widths_of(module))}
        self._prompts: list[Prompts] = []
        self._calls = Calls(
            bytes_per_pixel=FEATURE_MAPS * widest * limits.dtype.itemsize,
            limits=limits,
            drop=self._prompts.clear,
        )

    def limit(self, *size: int) -> int:
        """How many latents of this size one call may hold."""
        return self._calls.limit(*size)

    def forget(self) -> None:
        """Let go of what was kept for the jobs of the last calls."""
        self._prompts.clear()

    @property
    def remembered(self) -> int:
        """Prompts whose keys and values are kept; none once their jobs are gone and forgotten."""
        return len(self._contexts)

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """The denoised prediction of every row, in order and shaped like its x, float32."""
        return self._calls.answers(rows, _groups(rows), self._predict)

    def _predict(self, parts: list[Part]) -> list[Tensor]:
        """One call of the network."""
        prompts = self._side_by_side(parts)
        xs = [part.of(part.row.x) for part in parts]
        scaled = [
            p.row.sampling.input_scaling(p.row.sigma, x) for p, x in zip(parts, xs, strict=True)
        ]
        sample = torch.cat(scaled)
        timesteps = times_of(parts).to(self._device)
        if prompts.concat is not None:
            sample = torch.cat([sample, prompts.concat], dim=1)
        first = parts[0].row  # patched as all of them are
        size = (sample.shape[-2], sample.shape[-1])
        call = AttentionCall(
            prompts.keys_and_values,
            first.patches,
            size,
            first.draws,
            images=call_images(parts, size),
            objects=call_grounding(parts, size, self._transformers),
            motion=first.motion,
            frames=parts[0].count,
        )
        added = added_by_controls(parts, scaled, timesteps)
        with changed_blocks(self._module, first.patches):
            output = self._module(
                sample.to(self._dtype, memory_format=self._layout),
                timesteps,
                call,
                prompts.y,
                skips=added.skips,
                middle=added.middle,
                blocks=added.blocks,
            ).float()
        _hand_out(call.recorded, parts)
        return denoised_by(output, parts, xs)

    def _side_by_side(self, parts: list[Part]) -> Prompts:
        key = tuple((id(p.row.prompt), p.start, p.stop) for p in parts)
        for prompts in self._prompts:
            if prompts.key == key:
                return prompts
        self._prompts[:] = [self._assemble(key, parts), *self._prompts[:1]]
        return self._prompts[0]

    def _assemble(self, key: tuple[Hashable, ...], parts: list[Part]) -> Prompts:
        concats = [part.of(p.concat) for part in parts if (p := part.row.prompt).concat is not None]
        return Prompts(
            key,
            tuple(part.row.prompt for part in parts),
            keys_and_values=self._contexts.beside(parts),
            concat=torch.cat(concats) if concats else None,
            y=vectors(parts, self._dtype),
        )


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that one call can serve, together: of one size, patches, and lengths near enough."""
    groups: list[list[Row]] = []
    for row in rows:
        for group in groups:
            if _together(row, group):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _together(row: Row, group: list[Row]) -> bool:
    first = group[0]
    if row.x.shape[1:] != first.x.shape[1:]:
        return False
    if row.patches != first.patches or row.draws is not first.draws:
        return False
    if row.motion != first.motion or (row.motion is not None and len(row.x) != len(first.x)):
        return False
    lengths = {other.prompt.embedding.context.shape[1] for other in [*group, row]}
    return math.lcm(*lengths) <= LONGEST_REPEAT * min(lengths)


def _hand_out(recorded: Sequence[Tensor], parts: Sequence[Part]) -> None:
    for tensor in recorded:
        for part, own in zip(parts, torch.split(tensor, [p.count for p in parts]), strict=True):
            part.row.recorded.append(own)
