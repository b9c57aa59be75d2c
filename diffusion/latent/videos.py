"""Conditioning of video models from pictures, controls and subjects.

Frames are [T, H, W, C] in 0..1, latents [B, C, T, h, w] in the scale of links. A latent frame
stands for four frames, the first for one. (ComfyUI comfy_extras/nodes_wan.py)
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.latent_format import WAN21_LATENT, WAN22_LATENT, LatentFormat, process_out
from graph.latent_sizes import NODE_PX
from imaging.resize import resize, resize_image
from imaging.sizes import SizeMismatchError, check_size

GREY = 0.5
TOKEN_PX = 16  # pixels along a side of a token
FRAMES = 4  # of a latent frame


def fit_frames(
    image: Tensor, length: int, width: int, height: int, *, from_end: bool = False
) -> Tensor:
    """The first, or last, `length` pictures, cut to the proportions of a video and scaled."""
    frames = image[-length:] if from_end else image[:length]
    return resize_image(frames, width, height, "bilinear", "center")


def cover_frames(image: Tensor, length: int, width: int, height: int) -> Tensor:
    """The first `length` pictures, cut to the proportions of a video and averaged to its size."""
    return resize_image(image[:length, ..., :3], width, height, "area", "center")


def frames_within(image: Tensor, length: int, longest: int) -> Tensor:
    """The first `length` pictures, in their own proportions, of sides that are whole tokens.

    (ComfyUI comfy_extras/nodes_bernini.py)
    """
    height, width = image.shape[1:3]
    scale = min(longest / max(height, width), 1.0)
    across, down = (
        max(TOKEN_PX, round(side * scale / TOKEN_PX) * TOKEN_PX) for side in (width, height)
    )
    return resize_image(image[:length, ..., :3], across, down, "area", "disabled")


def frames_on_grey(
    length: int, width: int, height: int, start: Tensor | None, end: Tensor | None = None
) -> Tensor:
    """Grey frames, of which the first and the last are given."""
    check_size(length, height, width, 3)
    frames = torch.full((length, height, width, 3), GREY)
    if start is not None:
        frames[: len(start)] = start[..., :3]
    if end is not None:
        frames[-len(end) :] = end[..., :3]
    return frames


def unknown_latents(latent: Tensor, known: int) -> Tensor:
    """[1, 1, T, h, w]: 1 but in the latent frames that hold the first `known` frames."""
    mask = torch.ones(1, 1, *latent.shape[-3:])
    mask[:, :, : (known - 1) // FRAMES + 1] = 0.0
    return mask


def unknown_frames(latent: Tensor, first: int = 0, last: int = 0) -> Tensor:
    """[1, 4, T, h, w]: 1 for each frame of the latent's but the first and the last so many."""
    frames, height, width = latent.shape[-3:]
    mask = torch.ones(1, frames, FRAMES, height, width)
    by_frame = mask.view(1, -1, height, width)
    if first:
        by_frame[:, : first + FRAMES - 1] = 0.0  # the first latent frame is of one frame
    if last:
        by_frame[:, -last:] = 0.0
    return mask.transpose(1, 2)


def blank_video(latent: Tensor) -> Tensor:
    """What models see as zeros, in the shape of a latent."""
    return process_out(_format(latent), torch.zeros_like(latent))


def _format(latent: Tensor) -> LatentFormat:
    """Of the autoencoder that gave a latent."""
    return WAN22_LATENT if latent.shape[1] == WAN22_LATENT.channels else WAN21_LATENT


def with_frames(video: Tensor, part: Tensor, channel: int = 0) -> Tensor:
    """`video` with the frames of `part` as its first, from a channel on.

    Raises:
        SizeMismatchError: they are of another autoencoder, or of another size.
    """
    frames = part[:, :, : video.shape[2]]
    placed = video.clone()
    where = placed[:, channel : channel + part.shape[1], : frames.shape[2]]
    if part.ndim != video.ndim or where.shape[1:] != frames.shape[1:]:
        raise SizeMismatchError(tuple(video.shape), tuple(part.shape))
    where.copy_(frames)
    return placed


def join_channels(first: Tensor, second: Tensor) -> Tensor:
    """Latents one behind the other, channel by channel."""
    return torch.cat([first, second], dim=1)


def join_frames(latents: Sequence[Tensor]) -> Tensor:
    """Latents one after the other in time."""
    return torch.cat(tuple(latents), dim=2)


def vace_frames(image: Tensor | None, length: int, width: int, height: int) -> Tensor:
    """The frames of a control, grey where there are none."""
    if image is None:
        return frames_on_grey(length, width, height, None)
    frames = fit_frames(image, length, width, height)
    check_size(length, height, width, frames.shape[-1])
    return functional.pad(frames, (0, 0, 0, 0, 0, 0, 0, length - len(frames)), value=GREY)


def vace_mask(mask: Tensor | None, length: int, width: int, height: int) -> Tensor:
    """[length, H, W, 1]: 1 where a control is to be made anew, and where there is none."""
    check_size(length, height, width, 1)
    if mask is None:
        return torch.ones(length, height, width, 1)
    frames = resize(mask[:length].unsqueeze(1), width, height, "bilinear", "center").movedim(1, -1)
    return functional.pad(frames, (0, 0, 0, 0, 0, 0, 0, length - len(frames)), value=1.0)


def vace_part(frames: Tensor, mask: Tensor, *, reactive: bool) -> Tensor:
    """What of a control is to stay, or what is to be made anew, and grey for the rest."""
    kept = mask if reactive else 1 - mask
    return (frames - GREY) * kept + GREY


def vace_mask_channels(mask: Tensor, before: int) -> Tensor:
    """[1, 64, T, h, w]: each pixel of a latent's a channel; zeros for the frames `before` it."""
    length, height, width = len(mask), mask.shape[1] // NODE_PX, mask.shape[2] // NODE_PX
    whole = mask[:, : height * NODE_PX, : width * NODE_PX, 0]
    pixels = whole.reshape(length, height, NODE_PX, width, NODE_PX).permute(2, 4, 0, 1, 3)
    channels = pixels.reshape(1, NODE_PX**2, length, height, width)
    size = ((length - 1) // FRAMES + 1, height, width)
    fitted = functional.interpolate(channels, size=size, mode="nearest-exact")
    return functional.pad(fitted, (0, 0, 0, 0, before, 0))
