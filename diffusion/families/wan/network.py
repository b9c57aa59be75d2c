"""Wan's transformer, and its call."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.batch.patches import SCALE_ROPE
from diffusion.dit.call import DitCall
from diffusion.families.wan.blocks import (
    Axis,
    Block,
    CameraAdapter,
    Head,
    ImageProjection,
    Rope,
    VaceBlock,
    rope_of,
)
from diffusion.families.wan.shapes import PATCH, WanShape
from diffusion.networks.compiling import Blocks
from graph.values import Change

# What conditions say beside the text, by name (`conditions.py`).
SEEN = "seen"  # [N, T, D], states of an image encoder
AFTER = "after"  # [N, C, frames, h, w], latents of subjects, seen behind the video's own
REFERENCE = "reference"  # [N, C, h, w], a picture, seen before the video
CAMERA = "camera"  # [N, C, T, H, W], the path of a camera
VACE = "vace"  # [N, controls, C, T, h, w]
VACE_STRENGTHS = "vace_strengths"  # [N, controls]


class WanTransformer(nn.Module):
    """All layers, under the published names."""

    def __init__(self, shape: WanShape) -> None:
        super().__init__()
        width, patch = shape.width, (1, PATCH, PATCH)
        sees = shape.image_dim > 0
        self.shape = shape
        self.patch_embedding = nn.Conv3d(shape.in_channels, width, patch, stride=patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(shape.context_dim, width), nn.GELU("tanh"), nn.Linear(width, width)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(shape.time_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(
            [Block(width, shape.mlp, sees=sees) for _ in range(shape.depth)]
        )
        self.head = Head(width, shape.out_channels * PATCH**2)
        self.img_emb = ImageProjection(shape.image_dim, width, shape.image_tokens) if sees else None
        if shape.reference_channels:
            self.ref_conv = nn.Conv2d(shape.reference_channels, width, PATCH, stride=PATCH)
        if shape.vace_depth:
            self.vace_patch_embedding = nn.Conv3d(shape.vace_channels, width, patch, stride=patch)
            self.vace_blocks = nn.ModuleList(
                [VaceBlock(width, shape.mlp, first=index == 0) for index in range(shape.vace_depth)]
            )
        if shape.camera_channels:
            self.control_adapter = CameraAdapter(
                shape.camera_channels, width, shape.camera_layers, PATCH
            )

    def context(self, text: Tensor, seen: Tensor | None) -> tuple[Tensor, ...]:
        """What the blocks attend to. A model that sees is shown the text where there is nothing.

        (ComfyUI comfy/ldm/wan/model.py, `WanI2VCrossAttention`)
        """
        tokens = self.text_embedding(text)
        if self.img_emb is None:
            return (tokens,)
        return (tokens, tokens if seen is None else self.img_emb(seen))


class Controls:
    """What VACE blocks carry beside the video, and add to it."""

    def __init__(self, module: WanTransformer, call: DitCall, tokens: Tensor, dtype: Any) -> None:
        self._module = module
        self._original = tokens
        self._places = module.shape.vace_places
        self._strengths = call.beside[VACE_STRENGTHS].to(dtype)
        controls = call.beside[VACE].to(dtype).unbind(1)
        self._carried = [
            as_tokens(module.vace_patch_embedding(filled_up(control))) for control in controls
        ]

    def behind(self, index: int, x: Tensor, *inputs: Any) -> Tensor:
        """`x` with what is heard behind the block of this index."""
        if index not in self._places:
            return x
        block: Any = self._module.vace_blocks[self._places[index]]
        for place, before in enumerate(self._carried):
            first = block.before_proj
            control = before if first is None else first(before) + self._original
            self._carried[place] = block(control, *inputs)
            strength = self._strengths[:, place, None, None]
            x = x + block.after_proj(self._carried[place]) * strength
        return x


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, times of frames, and tokens of text, may be any number."""
    return {type(block): ((0,), (0, 1), (), (0, 1)) for block in module.blocks}


def wan(module: WanTransformer, call: DitCall) -> Tensor:
    """The velocity that Wan sees, [N, C, T, h, w]."""
    dtype = module.head.modulation.dtype
    frames, height, width = call.sample.shape[2:]
    sample = filled_up(call.sample.to(dtype))
    if AFTER in call.beside:
        sample = torch.cat([sample, filled_up(call.beside[AFTER].to(dtype))], dim=2)
    grid = module.patch_embedding(sample)
    if CAMERA in call.beside and module.shape.camera_channels:
        grid = grid + module.control_adapter(call.beside[CAMERA].to(dtype))
    sides, x = list(grid.shape[2:]), as_tokens(grid)
    before = 0
    if REFERENCE in call.beside and module.shape.reference_channels:
        reference = module.ref_conv(filled_up(call.beside[REFERENCE].to(dtype)))
        x = torch.cat([as_tokens(reference), x], dim=1)
        before = reference.shape[-2] * reference.shape[-1]
        sides[0] += 1
    own, axes = x.shape[1], axes_of(call.changes)
    ropes = [rope_of(sides, x.device, axes)]
    for source, latent in enumerate(call.references, start=1):
        reference = module.patch_embedding(filled_up(latent.to(dtype)))
        x = torch.cat([x, as_tokens(reference)], dim=1)
        ropes.append(rope_of(reference.shape[2:], x.device, axes, source))
    rope: Rope = tuple(torch.cat(tables) for tables in zip(*ropes, strict=True))  # type: ignore[assignment]
    time, modulation = time_embeddings(module, call.times, dtype)
    seen = call.beside.get(SEEN)
    context = module.context(call.context.to(dtype), None if seen is None else seen.to(dtype))
    controls = Controls(module, call, x, dtype) if module.shape.vace_depth else None
    skipped = call.skipped.get("double", ())
    for index, block in enumerate(module.blocks):
        if index not in skipped:
            x = block(x, modulation, rope, context)
        if controls is not None:
            x = controls.behind(index, x, modulation, rope, context)
    velocity = as_video(module.head(x[:, :own], time)[:, before:], grid.shape[2:])
    return velocity[:, :, :frames, :height, :width]


def axes_of(changes: Iterable[Change]) -> tuple[Axis, ...]:
    """Where tokens lie along time, rows and columns, as the last change says."""
    scales = [change for change in changes if change.kind == SCALE_ROPE]
    if not scales:
        return (Axis(), Axis(), Axis())
    return tuple(Axis(scales[-1][f"shift_{side}"], scales[-1][f"scale_{side}"]) for side in "tyx")


def time_embeddings(
    module: WanTransformer, times: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Of times [N], or [N, frames]: the embedding [N, frames, D] and modulations [.., 6, D]."""
    waves = sinusoids(times.flatten().float(), module.shape.time_dim).to(dtype)
    time = module.time_embedding(waves).unflatten(0, (len(times), -1))
    return time, module.time_projection(time).unflatten(2, (6, -1))


def sinusoids(times: Tensor, dim: int) -> Tensor:
    """[N] -> [N, dim], cosines first. (Vaswani et al. 2017)"""
    half = dim // 2
    waves = torch.pow(10_000, -torch.arange(half, device=times.device).float() / half)
    angles = torch.outer(times, waves)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def filled_up(x: Tensor) -> Tensor:
    """[..., h, w] with whole tokens, the missing pixels taken from the other side."""
    below, beside = -x.shape[-2] % PATCH, -x.shape[-1] % PATCH
    x = torch.cat([x, x[..., :below, :]], dim=-2) if below else x
    return torch.cat([x, x[..., :beside]], dim=-1) if beside else x


def as_tokens(grid: Tensor) -> Tensor:
    """[N, D, ...] -> [N, T, D]."""
    return grid.flatten(2).transpose(1, 2)


def as_video(tokens: Tensor, sides: torch.Size) -> Tensor:
    """Tokens [N, T, 4 * C], channels last, of frames, rows and columns: [N, C, T, h, w]."""
    parts: Tensor = tokens.unflatten(2, (PATCH, PATCH, -1)).unflatten(1, tuple(sides))
    return parts.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
