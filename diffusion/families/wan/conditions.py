"""Conditioning of Wan: text, pictures, controls, and which frames are known already.

(ComfyUI comfy/model_base.py, WAN21, WAN21_Vace, WAN21_Camera and WAN22)
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.fitting import repeat_to, spread_to
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding
from diffusion.families.family import LoadedModel
from diffusion.families.wan.network import (
    AFTER,
    CAMERA,
    REFERENCE,
    SEEN,
    VACE,
    VACE_STRENGTHS,
)
from diffusion.families.wan.shapes import WanShape
from diffusion.latent_format import process_in
from graph.values import Condition
from imaging.resize import resize
from imaging.sizes import SizeMismatchError

TOKENS = 512  # of a prompt that says nothing
MASKS = 4  # channels of a mask, one for each frame of a latent frame
SEES_IN = 36  # channels of models that see a picture and go by its latent and a mask
VACE_LATENTS, VACE_MASKS = 32, 64


def embed(model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    """Raises SizeMismatchError for latents of another size than the video's."""
    shape, extras = model.shape, condition.extras
    assert isinstance(shape, WanShape)
    mask = frame.denoise_mask
    return DitEmbedding(
        context=batched(condition.tokens, frame),
        concat=concat_channels(extras, frame, shape),
        time_shares=mask.mean(dim=(1, 3, 4))
        if mask is not None and shape.frames_have_times
        else None,
        references=tuple(_sources(extras.get("context_latents", ()), frame, shape)),
        beside=_beside(extras, frame, shape),
    )


def blank(shape: WanShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


def _beside(extras: Mapping[str, Any], frame: Frame, shape: WanShape) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    seen = extras.get("clip_vision_output")
    if seen is not None and shape.image_dim:
        found[SEEN] = batched(seen.penultimate_hidden_states, frame)
    after = extras.get("time_dim_concat")
    if after is not None:
        found[AFTER] = _latent(after, frame)
    references = extras.get("reference_latents", ())
    if references and shape.reference_channels:
        found[REFERENCE] = _latent(references[-1], frame)[:, :, 0]
    if shape.camera_channels and extras.get("camera_conditions") is not None:
        found[CAMERA] = batched(extras["camera_conditions"], frame)
    if shape.vace_depth:
        found |= _vace(extras, frame)
    return found


def _sources(latents: Iterable[Tensor], frame: Frame, shape: WanShape) -> Iterator[Tensor]:
    """Videos and pictures to go by, each of its own size. (Bernini)"""
    for latent in latents:
        if latent.shape[1] != shape.in_channels:
            raise SizeMismatchError((shape.in_channels,), (latent.shape[1],))
        yield _latent(latent, frame)


def _latent(latent: Tensor, frame: Frame) -> Tensor:
    """One from a link in the model's scale, for every video of the batch."""
    placed = in_scale(latent.to(frame.device, torch.float32), frame)
    return placed if len(placed) == 1 else repeat_to(placed, frame.shape[0])


def in_scale(latents: Tensor, frame: Frame) -> Tensor:
    """Latents one behind the other [B, n * C, T, h, w], each in the model's scale."""
    channels = frame.format.channels
    if latents.ndim != len(frame.shape) or latents.shape[1] % channels:
        raise SizeMismatchError(tuple(frame.shape), tuple(latents.shape))
    return torch.cat(
        [process_in(frame.format, part) for part in latents.split(channels, dim=1)],
        dim=1,
    )


def _vace(extras: Mapping[str, Any], frame: Frame) -> dict[str, Tensor]:
    batch, _, *sides = frame.shape
    controls = extras.get("vace_frames") or [torch.zeros(1, VACE_LATENTS, *sides)]
    masks = extras.get("vace_mask") or [torch.ones(1, VACE_MASKS, *sides)] * len(controls)
    strengths = extras.get("vace_strength") or [1.0] * len(controls)
    both = []
    for control, mask in zip(controls, masks, strict=True):
        latents = in_scale(control.to(frame.device, torch.float32), frame)
        own = torch.cat([latents, mask.to(latents)], dim=1)
        if list(own.shape[2:]) != sides:
            raise SizeMismatchError(tuple(sides), tuple(own.shape[2:]))
        both.append(own if len(own) == 1 else repeat_to(own, batch))
    stacked = torch.stack(torch.broadcast_tensors(*both), dim=1)
    return {VACE: stacked, VACE_STRENGTHS: torch.tensor([strengths], device=frame.device)}


def concat_channels(extras: Mapping[str, Any], frame: Frame, shape: WanShape) -> Tensor | None:
    """[B, C, T, h, w]: a video's latent and a mask of what of it is known.

    None where the model takes nothing beside its latent. (WAN21.concat_cond)
    """
    batch, own, *sides = frame.shape
    room = shape.in_channels - own
    if room <= 0:
        return None
    known = extras.get("concat_latent_image")
    if known is None:
        known = torch.zeros(batch, room, *sides, device=frame.device)
    else:
        known = in_scale(_fitted(known, frame), frame)
    sees = bool(shape.image_dim) and shape.in_channels == SEES_IN
    if room != known.shape[1] + MASKS and (not sees or room == known.shape[1]):
        return _checked(known, (room, *sides))
    known = _checked(known[:, : room - MASKS], (room - MASKS, *sides))
    mask = _mask(extras.get("concat_mask", frame.denoise_mask), frame)
    at = extras.get("concat_mask_index", 0)
    return torch.cat([known[:, :at], mask, known[:, at:]], dim=1)


def _mask(mask: Tensor | None, frame: Frame) -> Tensor:
    """[B, 4, T, h, w], 1 where what is known is to stay."""
    batch, _, *sides = frame.shape
    if mask is None:
        return torch.zeros(batch, MASKS, *sides, device=frame.device)
    mask = mask if mask.shape[1] == MASKS else mask.mean(dim=1, keepdim=True)
    known = _fitted(1.0 - mask, frame)
    short = sides[0] - known.shape[2]
    if short > 0:
        known = torch.nn.functional.pad(known, (0, 0, 0, 0, 0, short))
    known = known.repeat(1, MASKS, 1, 1, 1) if known.shape[1] == 1 else known
    return _checked(known, (MASKS, *sides))


def _fitted(video: Tensor, frame: Frame) -> Tensor:
    """[B, C, T, h, w] in the size of the latent, for every video of the batch."""
    height, width = frame.shape[-2:]
    own = video.to(frame.device, torch.float32)
    return spread_to(resize(own, width, height, "bilinear", "center"), frame.shape[0])


def _checked(channels: Tensor, expected: tuple[int, ...]) -> Tensor:
    if tuple(channels.shape[1:]) != expected:
        raise SizeMismatchError(expected, tuple(channels.shape[1:]))
    return channels
