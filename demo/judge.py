"""What is to be seen in a picture: colors and contours are measured, nothing here was learned.

First the background, from the picture's edge; then what differs from it, and of that the color,
how many pieces, where they are, and which outline theirs overlaps best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.drawing import OUTLINES, SIDE, Mask, Picture, turned
from demo.scenes import COLORS, RGB, Background, Color, Place, Scene, Shape, shades

EDGE = 5  # px along which the background is looked at
DIFFERENT = 70.0  # from the background, in RGB
LEAST_AREA = 90  # px of a piece
STENCIL = 48  # px of the squares in which outlines are compared
AWAY = 11.0  # px from the middle that count as left, right, top or bottom
EVEN = 22.0  # deviation along the edge below which a background is plain
BLURS = (15.0, 30.0)  # deviations, of shapes with a radius of 150
PALETTE = np.array([RGB[color] for color in COLORS], dtype=np.float32)
WITH_SECOND_SHADES = np.concatenate(
    [PALETTE, np.array([shades(c)[1] for c in COLORS], dtype=np.float32)]
)
Found = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """What a picture shows; None where nothing stands out from the background."""

    background: Background
    color: Color | None = None
    shape: Shape | None = None
    count: int = 0
    place: Place | None = None


def judge(picture: Picture) -> Seen:
    """What is in `picture` [SIDE, SIDE, 3]."""
    rgb = cv2.medianBlur(picture, 3).astype(np.float32)
    background, expected = read_background(rgb)
    away = np.linalg.norm(rgb[None] - expected, axis=-1).min(axis=0)
    rough = find_pieces(away > DIFFERENT)
    if not rough:
        return Seen(background)
    inside = np.logical_or.reduce(rough)
    color = color_of(rgb[inside])
    pieces = find_pieces(ink_distance(rgb, inside, color) < away) or rough
    return Seen(background, color, shape_of(pieces), len(pieces), place_of(pieces))


def agreement(scene: Scene, seen: Seen) -> dict[str, bool]:
    """What of `scene` was found, by attribute."""
    return {
        "color": seen.color == scene.color,
        "shape": seen.shape == scene.shape,
        "background": seen.background == scene.background,
        "count": seen.count == scene.count,
        "place": seen.place == scene.place,
    }


def nearest(rgb: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of `palette` [P, 3] each of [..., 3] is closest to."""
    return cast(
        NDArray[np.intp], np.linalg.norm(rgb[..., None, :] - palette, axis=-1).argmin(axis=-1)
    )


def named(rgb: NDArray[np.float32]) -> Color:
    return COLORS[int(nearest(rgb, PALETTE))]


def read_background(rgb: NDArray[np.float32]) -> tuple[Background, NDArray[np.float32]]:
    """The background, and the pictures of nothing else [N, SIDE, SIDE or 1, SIDE or 1, 3].

    Any of its pixels is like one of these.
    """
    sides = np.concatenate([rgb[:, :EDGE], rgb[:, -EDGE:]], axis=1)  # [SIDE, 2 EDGE, 3]
    rows = np.median(sides, axis=1)
    ends = np.concatenate([rgb[:EDGE].reshape(-1, 3), rgb[-EDGE:].reshape(-1, 3)])
    edge = np.concatenate([sides.reshape(-1, 3), ends])
    middle = np.median(edge, axis=0)
    if np.mean(np.linalg.norm(edge - middle, axis=-1) < DIFFERENT * 0.6) > 0.85:
        return Background(named(middle)), middle[None, None, None]
    if is_gradient(sides, rows):
        fitted = fitted_rows(rows)
        return Background(named(fitted[2]), "gradient"), fitted[None, :, None]
    is_white = np.linalg.norm(edge - PALETTE[COLORS.index("white")], axis=-1) < 75
    tiles = np.stack([np.median(edge[part], axis=0) for part in (is_white, ~is_white)])
    return Background(named(tiles[1]), "checkered"), tiles[:, None, None]


def is_gradient(sides: NDArray[np.float32], rows: NDArray[np.float32]) -> bool:
    """Whether rows are even, and change from one to the next by little."""
    within = np.median(np.linalg.norm(sides - rows[:, None], axis=-1))
    smooth = cv2.blur(rows, (1, 9))
    steps = np.linalg.norm(smooth[8:] - smooth[:-8], axis=-1)
    return bool(within < EVEN and np.median(steps) < 40)


def fitted_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The straight line through the colors of rows, [SIDE, 3]."""
    y = np.arange(len(rows))
    return np.stack([np.polyval(np.polyfit(y, channel, 1), y) for channel in rows.T], axis=1)


def find_pieces(different: Found) -> list[Found]:
    """Connected parts, without slivers; what tiles leave along their edges is one."""
    opened = cv2.morphologyEx(different.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    least = max(LEAST_AREA, 0.25 * max(areas[1:], default=0))
    return [labels == i for i in range(1, count) if areas[i] >= least]


def color_of(rgb: NDArray[np.float32]) -> Color:
    """The color most of [N, 3] have. What looks like the second shade of a pattern has no vote.

    Where that leaves hardly any, all have one.
    """
    votes = np.bincount(nearest(rgb, WITH_SECOND_SHADES), minlength=2 * len(COLORS))
    votes = votes[: len(COLORS)]
    if votes.sum() < 0.15 * len(rgb):
        votes = np.bincount(nearest(rgb, PALETTE), minlength=len(COLORS))
    return COLORS[int(votes.argmax())]


def ink_distance(rgb: NDArray[np.float32], inside: Found, color: Color) -> NDArray[np.float32]:
    """How far each pixel is from what pieces of `color` are painted with, [SIDE, SIDE].

    Edges are then where a pixel is as much ink as it is background, however soft they are. The
    second shade is ink where it is more than a rim.
    """
    first, second = (shade.astype(np.float32) for shade in shades(color))
    whole = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    core = rgb[whole if whole.any() else inside]
    is_second = np.linalg.norm(core - second, axis=-1) < np.linalg.norm(core - first, axis=-1)
    inks = [np.median(core[part], axis=0) for part in (~is_second, is_second) if part.mean() > 0.12]
    distances = [np.linalg.norm(rgb - ink, axis=-1) for ink in inks]
    return cast(NDArray[np.float32], np.min(distances, axis=0))


def shape_of(pieces: Sequence[Found]) -> Shape:
    """The shape that the pieces overlap best, all taken together."""
    scores = {
        shape: sum(max(overlap(fitted(piece), s) for s in stencils) for piece in pieces)
        for shape, stencils in STENCILS.items()
    }
    return max(scores, key=lambda shape: scores[shape])


def place_of(pieces: Sequence[Found]) -> Place:
    """Where a lone piece is, or how several stand to each other."""
    centers = np.array([[axis.mean() for axis in np.nonzero(piece)] for piece in pieces])
    if len(pieces) > 1:
        high, wide = np.ptp(centers, axis=0)
        return "row" if wide > high else "column"
    boxes = [np.nonzero(pieces[0].any(axis=axis))[0] for axis in (1, 0)]
    down, right = ((box[0] + box[-1]) / 2 - (SIDE - 1) / 2 for box in boxes)
    if max(abs(down), abs(right)) < AWAY:
        return "center"
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "bottom" if down > 0 else "top"


def fitted(piece: Found) -> Found:
    """The part of a mask that holds anything, stretched to a square."""
    y, x = (np.nonzero(piece.any(axis=axis))[0] for axis in (1, 0))
    part = piece[y[0] : y[-1] + 1, x[0] : x[-1] + 1].astype(np.float32)
    return cv2.resize(part, (STENCIL, STENCIL), interpolation=cv2.INTER_AREA) > 0.5


def overlap(one: Found, other: Found) -> float:
    return float((one & other).sum() / (one | other).sum())


def _stencils(shape: Shape) -> list[Found]:
    """A shape as it is drawn, turned to both sides, and as it is left by more and more blur."""
    found = []
    for angle in np.deg2rad([-6, -3, 0, 3, 6]):
        canvas: Mask = np.zeros((400, 400), dtype=np.float32)
        outline = [turned(part, angle) * 150 + 200 for part in OUTLINES[shape]]
        cv2.fillPoly(canvas, [np.rint(part).astype(np.int32) for part in outline], 1.0)
        found.append(fitted(canvas > 0.5))
        found += [fitted(cv2.GaussianBlur(canvas, (0, 0), sigma) > 0.5) for sigma in BLURS]
    return found


STENCILS = {shape: _stencils(shape) for shape in OUTLINES}
