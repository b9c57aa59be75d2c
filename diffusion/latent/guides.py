"""Guide frames of LTX-Video's latents. (ComfyUI comfy_extras/nodes_lt.py)

Frames to go by, the guides, lie behind the video's own in the latent; a conditioning says where in
the video they belong, and they are cut off once it is sampled.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graph.errors import ServiceError
from graph.latent_sizes import LTX_VIDEO
from graph.values import Conditioning, Latent
from imaging.resize import resize_image
from imaging.sizes import SizeMismatchError

KEYFRAMES = "keyframe_idxs"  # [1, 3, tokens]: frames, rows and columns of the video
FIRST_GUIDES = 2  # latent frames of a guide that lie behind the video; more take their place in it


@dataclass(eq=False)
class GuideLengthError(ServiceError):
    """Frames that end behind the video that they are for."""

    status = 422
    code = "guide_length"
    template = "{received} latent frames from frame {start} on end behind the video, of {frames}."
    received: int
    start: int
    frames: int


def as_frames(image: Any, width: int, height: int, *, crop: bool) -> Any:
    """Pictures [B, H, W, 3] of a size, cut to the proportions or not."""
    return resize_image(image[..., :3], width, height, "bilinear", "center" if crop else "disabled")


def whole_steps(image: Any) -> Any:
    """As many of the first pictures as make whole latent frames."""
    assert LTX_VIDEO.frames is not None
    return image[: (len(image) - 1) // LTX_VIDEO.frames * LTX_VIDEO.frames + 1]


def begun_with(frames: Tensor, shape: tuple[int, ...], strength: float) -> Latent:
    """An empty video of a shape whose first frames are those of a latent, kept by `strength`.

    Raises:
        GuideLengthError: there are more of them than the video has.
        SizeMismatchError: they are of another size, or of another kind of latents.
    """
    samples = torch.zeros(shape)
    mask = torch.ones(shape[0], 1, shape[2], 1, 1)
    return _with_frames(Latent(samples, mask), frames, 0, strength)


def with_guide(
    positive: Conditioning,
    negative: Conditioning,
    latent: Latent,
    guide: Tensor,
    *,
    frame: int,
    pictures: int,
    strength: float,
) -> tuple[Conditioning, Conditioning, Latent]:
    """A video and its prompts, with the latent of so many `pictures` to go by from a `frame` on.

    Raises:
        GuideLengthError: they end behind the video.
        SizeMismatchError: they are of another size, or of another kind of latents.
    """
    step = LTX_VIDEO.frames
    assert step is not None
    _check_fits(latent, guide)
    mask, own = _mask(latent), latent.samples.shape[2] - _guides(positive)
    if frame < 0:
        frame = max((own - 1) * step + 1 + frame, 0)
    if pictures > 1 and frame != 0:
        frame = (frame - 1) // step * step + 1
    start = (frame + step - 1) // step
    if start + guide.shape[2] > latent.samples.shape[2]:
        raise GuideLengthError(guide.shape[2], frame, own)
    first, rest = guide[:, :, :FIRST_GUIDES], guide[:, :, FIRST_GUIDES:]
    places = _places(first, frame)
    mask[:, :, start : start + first.shape[2]] = 1.0
    behind = torch.full((*mask.shape[:2], first.shape[2], *mask.shape[3:]), 1.0 - strength)
    more = first.expand(len(latent.samples), -1, -1, -1, -1)
    longer = replace(
        latent,
        samples=torch.cat([latent.samples, more], dim=2),
        noise_mask=torch.cat([mask, behind], dim=2),
    )
    if rest.shape[2]:
        longer = _with_frames(longer, rest, start + first.shape[2], strength)
    return _placed(positive, places), _placed(negative, places), longer


def without_guides(
    positive: Conditioning, negative: Conditioning, latent: Latent
) -> tuple[Conditioning, Conditioning, Latent]:
    """A video and its prompts without the frames that it went by."""
    guides, mask = _guides(positive), _mask(latent)
    if not guides:
        return positive, negative, replace(latent, noise_mask=mask)
    cut = replace(
        latent, samples=latent.samples[:, :, :-guides].clone(), noise_mask=mask[:, :, :-guides]
    )
    return _unplaced(positive), _unplaced(negative), cut


def _with_frames(latent: Latent, frames: Tensor, start: int, strength: float) -> Latent:
    stop = start + frames.shape[2]
    if stop > latent.samples.shape[2]:
        raise GuideLengthError(frames.shape[2], start, latent.samples.shape[2])
    _check_fits(latent, frames)
    samples, mask = latent.samples.clone(), _mask(latent)
    samples[:, :, start:stop] = frames
    mask[:, :, start:stop] = 1.0 - strength
    return replace(latent, samples=samples, noise_mask=mask)


def _check_fits(latent: Latent, frames: Tensor) -> None:
    """Raises SizeMismatchError for frames of another size, or of another kind of latents."""
    own, theirs = latent.samples.shape, frames.shape
    if len(own) != 5 or (own[1], *own[3:]) != (theirs[1], *theirs[3:]):
        raise SizeMismatchError(tuple(own), tuple(theirs))


def _mask(latent: Latent) -> Tensor:
    """A copy of its noise mask [B, 1, T, h, w], whose sides may be 1."""
    if latent.noise_mask is None:
        return torch.ones(len(latent.samples), 1, latent.samples.shape[2], 1, 1)
    mask: Tensor = latent.noise_mask.clone()
    return mask


def _places(guide: Tensor, frame: int) -> Tensor:
    """Where a guide's tokens belong in the video."""
    step = LTX_VIDEO.frames
    assert step is not None
    sides = [torch.arange(float(size)) for size in guide.shape[2:]]
    scale = torch.tensor([step, LTX_VIDEO.px, LTX_VIDEO.px])[:, None]
    places = torch.cartesian_prod(*sides).reshape(-1, 3).transpose(0, 1) * scale
    if frame == 0:  # the first latent frame is one frame of the video
        places[0] = (places[0] + 1 - step).clamp(min=0)
    places[0] += frame
    return places[None]


def _guides(conditioning: Conditioning) -> int:
    """How many latent frames are guides."""
    found = next((c.extras[KEYFRAMES] for c in conditioning if KEYFRAMES in c.extras), None)
    return 0 if found is None else len(torch.unique(found[:, 0]))


def _placed(conditioning: Conditioning, places: Tensor) -> Conditioning:
    def all_of(before: Tensor | None) -> Tensor:
        return places if before is None else torch.cat([before, places], dim=2)

    return tuple(
        replace(c, extras={**c.extras, KEYFRAMES: all_of(c.extras.get(KEYFRAMES))})
        for c in conditioning
    )


def _unplaced(conditioning: Conditioning) -> Conditioning:
    return tuple(
        replace(c, extras={key: v for key, v in c.extras.items() if key != KEYFRAMES})
        for c in conditioning
    )
