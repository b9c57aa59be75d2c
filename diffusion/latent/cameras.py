"""Camera paths as a ray for every pixel of every frame.

A ray is its moment about the first camera and its direction (Pluecker coordinates; Sitzmann et al.
2021, "Light Field Networks"). (ComfyUI comfy_extras/nodes_camera_trajectory.py)
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from imaging.sizes import check_size

FRAMES = 4  # of a latent frame
WAY, TURN = 1.5, math.pi / 3  # of a whole path at speed 1
PICTURE = (1280, 720)  # whose proportions focal lengths are given for
# Where a pose goes, x to the right, y down, z ahead; or, around the axis of sight, how it turns.
WAYS: Mapping[str, tuple[float, float, float]] = {
    "Pan Up": (0, -1, 0),
    "Pan Down": (0, 1, 0),
    "Pan Left": (-1, 0, 0),
    "Pan Right": (1, 0, 0),
    "Zoom In": (0, 0, 2),
    "Zoom Out": (0, 0, -2),
}
TURNS: Mapping[str, float] = {"Anti Clockwise (ACW)": -1.0, "ClockWise (CW)": 1.0}


def camera_path(
    pose: str,
    length: int,
    width: int,
    height: int,
    *,
    speed: float,
    focal: tuple[float, float],
    center: tuple[float, float],
) -> Tensor:
    """[1, 24, T, H, W]: six numbers for each pixel of the four frames of a latent frame."""
    check_size(6 * (length + FRAMES), height, width)
    rotations, ways = _poses(pose, length, speed)
    directions = _directions(width, height, focal, center)  # [H, W, 3]
    turned = torch.einsum("hwc,tdc->thwd", directions, rotations)
    moments = torch.linalg.cross(ways[:, None, None].expand_as(turned), turned)
    rays = torch.cat([moments, turned], dim=-1).movedim(-1, 1)  # [T, 6, H, W]
    rays = torch.cat([rays[:1].expand(FRAMES - 1, -1, -1, -1), rays])
    groups: Tensor = rays[: len(rays) // FRAMES * FRAMES].unflatten(0, (-1, FRAMES))
    channels: Tensor = groups.transpose(1, 2).flatten(1, 2)
    return channels.transpose(0, 1)[None].contiguous()


def _poses(pose: str, length: int, speed: float) -> tuple[Tensor, Tensor]:
    """Rotations [T, 3, 3] and places [T, 3] of each camera, seen from the first."""
    done = torch.arange(length, dtype=torch.float64) / length * speed
    angle = done * TURN * TURNS.get(pose, 0.0)
    rotations = torch.eye(3, dtype=torch.float64).repeat(length, 1, 1)
    rotations[:, 0, 0] = rotations[:, 1, 1] = angle.cos()
    rotations[:, 0, 1], rotations[:, 1, 0] = -angle.sin(), angle.sin()
    ways = done[:, None] * WAY * torch.tensor(WAYS.get(pose, (0, 0, 0)), dtype=torch.float64)
    # A pose says where the world is from the camera; the first is the world itself.
    return rotations.float(), ways.float()


def _directions(
    width: int, height: int, focal: tuple[float, float], center: tuple[float, float]
) -> Tensor:
    """[H, W, 3] of length 1."""
    fx, fy = focal
    proportions = PICTURE[0] / PICTURE[1]
    if proportions > width / height:
        fx = height * proportions * fx / width
    else:
        fy = width / proportions * fy / height
    x = (torch.arange(width) + 0.5 - center[0] * width) / (fx * width)
    y = (torch.arange(height) + 0.5 - center[1] * height) / (fy * height)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    ahead: Tensor = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
    length: Tensor = ahead.norm(dim=-1, keepdim=True)
    return ahead / length
