"""Scenes to pictures of 128 by 128 pixels."""

from collections.abc import Callable, Mapping
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.scenes import RGB, Background, Fill, Scene, Shape, Size, shades

Picture = NDArray[np.uint8]  # [H, W, 3], RGB
Mask = NDArray[np.float32]  # [H, W] in 0..1
Points = NDArray[np.float64]  # [N, 2], x and y
Style = Callable[[Picture, np.random.Generator], Picture]

SIDE = 128  # px
TILE = 16  # px of a checkered background
FINER = 2  # pictures are drawn so many times larger, then averaged
SUBPIXEL_BITS = 4
PERIOD = 14.0  # px from stripe to stripe, and from dot to dot
DOT_RADIUS = 4.2  # px
AWAY = 26.0  # px from the middle to a shape on the left, right, top or bottom
RADII: Mapping[int, Mapping[Size, float]] = {  # px, by how many there are
    1: {"small": 17, "medium": 26, "large": 36},
    2: {"small": 14, "medium": 19, "large": 24},
    3: {"small": 12.5, "medium": 15, "large": 17.5},
}
SPACING = {2: 58.0, 3: 42.0}  # px from one shape to the next
JITTER = {1: 4.0, 2: 2.0, 3: 1.0}  # px
TILT = np.deg2rad(6)
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1), "center": (0, 0)}


def draw(scene: Scene, rng: np.random.Generator) -> Picture:
    """A picture of `scene`; places, sizes and angles vary a little."""
    picture = paint_background(scene.background)
    first, second = (shade.astype(np.float32) for shade in shades(scene.color))
    for x, y in centers(scene):
        jitter = rng.uniform(-1, 1, 4)
        middle = np.array([x, y]) + jitter[:2] * JITTER[scene.count]
        radius = RADII[scene.count][scene.size] * (1 + 0.05 * jitter[2])
        outline = [
            turned(part, TILT * jitter[3]) * radius + middle for part in OUTLINES[scene.shape]
        ]
        inside = coverage(outline)[..., None]
        ink = np.where(pattern(scene.fill, middle)[..., None], second, first)
        picture = picture + (ink - picture) * inside
    return as_bytes(picture)


def as_bytes(picture: Mask) -> Picture:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def centers(scene: Scene) -> list[tuple[float, float]]:
    """Where the shapes are, before they are moved a little."""
    middle = SIDE / 2
    if scene.count == 1:
        dx, dy = DIRECTIONS[scene.place]
        return [(middle + dx * AWAY, middle + dy * AWAY)]
    steps = [(i - (scene.count - 1) / 2) * SPACING[scene.count] for i in range(scene.count)]
    if scene.place == "row":
        return [(middle + step, middle) for step in steps]
    return [(middle, middle + step) for step in steps]


def paint_background(background: Background) -> Mask:
    """[SIDE, SIDE, 3] in 0..255."""
    color, white = np.array(RGB[background.color], np.float32), np.array(RGB["white"], np.float32)
    if background.pattern == "gradient":
        share = np.linspace(0, 0.85, SIDE, dtype=np.float32)[:, None, None]
    elif background.pattern == "checkered":
        y, x = np.indices((SIDE, SIDE)) // TILE
        share = ((x + y) % 2).astype(np.float32)[..., None]
    else:
        share = np.zeros(1, dtype=np.float32)
    return np.broadcast_to(color + (white - color) * share, (SIDE, SIDE, 3)).astype(np.float32)


def pattern(fill: Fill, middle: Points) -> NDArray[np.bool_]:
    """Where the second shade is, in a pattern that starts at `middle`."""
    y, x = np.indices((SIDE, SIDE), dtype=np.float64)
    x, y = x - middle[0], y - middle[1]
    if fill == "striped":
        return cast(NDArray[np.bool_], np.mod((x + y) / np.sqrt(2), PERIOD) < PERIOD / 2)
    if fill == "dotted":
        near = np.hypot(*(np.mod(axis + PERIOD / 2, PERIOD) - PERIOD / 2 for axis in (x, y)))
        return cast(NDArray[np.bool_], near < DOT_RADIUS)
    return np.zeros((SIDE, SIDE), dtype=np.bool_)


def coverage(outline: list[Points]) -> Mask:
    """How much of each pixel is inside; an outline inside another is a hole."""
    canvas = np.zeros((SIDE * FINER, SIDE * FINER), dtype=np.uint8)
    scale = FINER * 2**SUBPIXEL_BITS
    points = [np.rint(part * scale).astype(np.int32) for part in outline]
    cv2.fillPoly(canvas, points, 255, cv2.LINE_AA, SUBPIXEL_BITS)
    small = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def turned(points: Points, angle: float) -> Points:
    sin, cos = np.sin(angle), np.cos(angle)
    return cast(Points, points @ np.array([[cos, sin], [-sin, cos]]))


def _polygon(corners: int, radius: float = 1.0, inner: float | None = None) -> Points:
    """Corners around the origin, the first at the top; with `inner`, dents between them."""
    count = corners if inner is None else 2 * corners
    angles = np.arange(count) * 2 * np.pi / count - np.pi / 2
    radii = np.full(count, radius)
    if inner is not None:
        radii[1::2] = inner
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _cross(half: float = 0.32) -> Points:
    corner = np.array([[half, half], [half, 1], [-half, 1], [-half, half]])
    quarter = np.pi / 2
    return np.concatenate([turned(corner[:3], quarter * i) for i in range(4)])


OUTLINES: Mapping[Shape, list[Points]] = {
    "circle": [_polygon(64)],
    "square": [turned(_polygon(4, 1.2), np.pi / 4)],
    "triangle": [_polygon(3, 1.15) + np.array([0, 0.2])],
    "star": [_polygon(5, 1.15, 0.5)],
    "ring": [_polygon(64), _polygon(64, 0.55)],
    "cross": [_cross()],
}
