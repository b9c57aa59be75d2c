"""Motion tracks: moves first-frame latents along points through a video.

(ComfyUI comfy_extras/nodes_wan.py, WanTrackToVideo; Geng et al. 2024, "Motion Prompting";
bytedance/ATI)
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.latent_format import WAN21_LATENT, process_in, process_out
from graph.errors import ServiceError
from imaging.sizes import check_size

POINTS = 121  # of every track: longer ones are cut, shorter ones end hidden
FRAMES = 4  # of a latent frame
NEXT_TO_NOTHING = 1e-5


@dataclass(eq=False)
class BadTracksError(ServiceError):
    """Tracks that are no lists of points."""

    status = 422
    code = "bad_tracks"
    template = 'Tracks are lists of points such as {{"x": 10, "y": 20}}; got {received}.'
    received: str


def read_tracks(text: str) -> list[Tensor]:
    """The tracks [N, 121, 3] of every video, x and y in pixels and 1 where seen; [] without any.

    Raises:
        BadTracksError: they are something else than points.
    """
    try:
        found = json.loads(text.replace("'", '"'))
    except (json.JSONDecodeError, RecursionError):
        return []
    if not found:
        return []
    videos = found
    for _ in range(2):  # one track, or the tracks of one video, stand for a list of them
        if isinstance(videos, list) and videos and _depth(videos) < 3:
            videos = [videos]
    if not isinstance(videos, list) or _depth(videos) != 3:
        raise BadTracksError(str(found)[:80])
    return [torch.stack([_points(track) for track in tracks]) for tracks in videos]


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    return depth if isinstance(value, dict) else 0


def _points(track: Any) -> Tensor:
    points = torch.zeros(POINTS, 3)
    try:
        for place, point in enumerate(track[:POINTS]):
            points[place] = torch.tensor([float(point["x"]), float(point["y"]), 1.0])
    except (TypeError, KeyError, ValueError) as error:
        raise BadTracksError(str(track)[:80]) from error
    return points


def moved_latents(
    latents: Sequence[Tensor],
    tracks: Sequence[Tensor],
    batch: int,
    size: tuple[int, int],
    *,
    temperature: float,
    topk: int,
) -> tuple[Tensor, Tensor]:
    """`batch` videos [B, C, T, h, w] whose first frames' points move, and what is unknown of them.

    `size` is the pictures' width and height. What is unknown is [B, 4, T, h, w].
    """
    pairs = zip(spread_over(latents, batch), spread_over(tracks, batch), strict=True)
    moved = [_moved(latent, own, size, temperature, topk) for latent, own in pairs]
    return torch.cat([video for video, _ in moved]), torch.cat([mask for _, mask in moved])


def _moved(
    latent: Tensor, tracks: Tensor, size: tuple[int, int], temperature: float, topk: int
) -> tuple[Tensor, Tensor]:
    video = process_in(WAN21_LATENT, latent)[0]
    _, frames, height, width = video.shape
    check_size(frames, height, width, len(tracks))
    paths, seen = _over_frames(tracks, size, (frames - 1) * FRAMES)
    short = min(height, width)
    reach = torch.tensor([width / short, height / short])
    x, y = (torch.linspace(-side / short, side / short, side) for side in (width, height))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [h, w, 2]
    counts = seen[1:].clamp(0, 1).unflatten(0, (-1, FRAMES)).sum(1)  # [T - 1, N, 1]
    shown = (paths[1:] * seen[1:].clamp(0, 1)).unflatten(0, (-1, FRAMES)).sum(1)
    centers = shown / (counts + NEXT_TO_NOTHING)
    distances = (centers[:, None, None] - grid[None, :, :, None]).pow(2).sum(-1)
    weights = torch.exp(-distances * temperature) * counts.clamp(0, 1)[:, None, None, :, 0]
    weights, nearest = weights.topk(min(topk, weights.shape[-1]), dim=-1)
    first = (paths[:1] / reach).clamp(-1, 1)[None]
    points = functional.grid_sample(video[None, :, 0], first, align_corners=False)[0, :, 0]
    features = (points[:, nearest] * weights).sum(-1)  # [C, T - 1, h, w]
    share = weights.sum(-1)
    mixed = torch.cat([video[:, :1], features + video[:, 1:] * (1 - share.clamp(0, 1))], dim=1)
    known = torch.cat([torch.ones_like(share[:1]), share])
    return process_out(WAN21_LATENT, mixed[None]), 1 - known[None, None].expand(
        1, FRAMES, -1, -1, -1
    )


def _over_frames(tracks: Tensor, size: tuple[int, int], frames: int) -> tuple[Tensor, Tensor]:
    """Where points are, and whether they are seen, in the first frame and `frames` others."""
    points = tracks.transpose(0, 1)  # [121, N, 3]
    middle = torch.tensor([float(side) for side in size]) / 2
    places = (points[..., :2] - middle) / min(size) * 2
    points_in_time = torch.cat([places, points[..., 2:] * 2 - 1], dim=-1)
    steps = POINTS - 1
    common = math.gcd(steps, frames)
    every, times = steps // common, frames // common
    later = points_in_time[1:].repeat_interleave(times, dim=0)[int(every > 1) :: every]
    whole = torch.cat([points_in_time[:1], later])
    return whole[..., :2], whole[..., 2:]


def spread_over(values: Sequence[Tensor], batch: int) -> list[Tensor]:
    """One for each video of a batch, evenly spread over it."""
    have = len(values)
    if have >= batch:
        picks = [round(i * (have - 1) / max(1, batch - 1)) for i in range(batch)]
    else:
        picks = [min(have - 1, math.floor((i + 0.5) * have / batch)) for i in range(batch)]
    return [values[pick] for pick in picks]
