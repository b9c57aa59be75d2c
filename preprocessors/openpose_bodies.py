"""From OpenPose's maps to bodies: peaks are joints, and affinities say which belong together.

Part affinity fields (Cao et al. 2017, sections 2.3 and 2.4), with the thresholds of ControlNet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from preprocessors.pictures import Picture
from preprocessors.pose import JOINTS

BLUR, PEAK = 3, 0.1  # pixels; of 1
SAMPLES, AFFINE, SHARE_AFFINE = 10, 0.05, 0.8
FEWEST_JOINTS, LEAST_SCORE = 4, 0.4
# Pairs of joints, and the maps of their affinity along x and y.
PAIRS = (
    (1, 2, 12), (1, 5, 20), (2, 3, 14), (3, 4, 16), (5, 6, 22), (6, 7, 24), (1, 8, 0), (8, 9, 2),
    (9, 10, 4), (1, 11, 6), (11, 12, 8), (12, 13, 10), (1, 0, 28), (0, 14, 30), (14, 16, 34),
    (0, 15, 32), (15, 17, 36), (2, 16, 18), (5, 17, 26),
)  # fmt: skip
STARTING = 17  # the last pairs only join what is begun


@dataclass(frozen=True)
class Peak:
    """A joint that was seen, in pixels."""

    x: int
    y: int
    score: float


Joints: TypeAlias = tuple[Peak | None, ...]  # None where a joint was not seen


@dataclass(frozen=True)
class Link:
    """Two joints that belong together, by their places among the peaks of their kinds."""

    start: int
    end: int
    score: float


@dataclass(eq=False)
class Body:
    """Joints that belong together: the place of each among the peaks of its kind."""

    joints: dict[int, int] = field(default_factory=dict)
    score: float = 0.0
    count: int = 0


def found_bodies(heat: Picture, affinities: Picture) -> list[Joints]:
    """The people in maps [H, W, 19] and [H, W, 38], each with its 18 joints."""
    peaks = [found_peaks(heat[..., joint]) for joint in range(JOINTS)]
    bodies: list[Body] = []
    for index, (start, end, at) in enumerate(PAIRS):
        field_ = affinities[..., at : at + 2].astype(np.float64)
        for link in found_links(peaks[start], peaks[end], field_):
            join(bodies, link, (start, end), peaks, begin=index < STARTING)
    sure = [b for b in bodies if b.count >= FEWEST_JOINTS and b.score / b.count >= LEAST_SCORE]
    return [
        tuple(
            peaks[joint][body.joints[joint]] if joint in body.joints else None
            for joint in range(JOINTS)
        )
        for body in sure
    ]


def found_peaks(heat: Picture) -> list[Peak]:
    """Where a heatmap, blurred, is highest among its neighbours."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped] # noqa: PLC0415 - slow

    blurred = gaussian_filter(heat.astype(np.float64), sigma=BLUR)
    around = np.pad(blurred, 1)
    beside = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    highest = np.logical_and.reduce([blurred >= side for side in beside]) & (blurred > PEAK)
    return [Peak(int(x), int(y), float(heat[y, x])) for y, x in np.argwhere(highest)]


def found_links(starts: Sequence[Peak], ends: Sequence[Peak], field_: Picture) -> list[Link]:
    """Which peaks a field [H, W, 2] joins; each at most once, the surest first."""
    links = [
        Link(i, j, score)
        for i, a in enumerate(starts)
        for j, b in enumerate(ends)
        if (score := _affinity(a, b, field_)) is not None
    ]
    kept: list[Link] = []
    for link in sorted(links, key=lambda link: link.score, reverse=True):
        if all(link.start != other.start and link.end != other.end for other in kept):
            kept.append(link)
    return kept


def _affinity(a: Peak, b: Peak, field_: Picture) -> float | None:
    """How well the field leads from `a` to `b`; None where it does not."""
    across, down = b.x - a.x, b.y - a.y
    length = max(0.001, float(np.hypot(across, down)))
    xs, ys = (np.linspace(*ends, num=SAMPLES) for ends in ((a.x, b.x), (a.y, b.y)))
    at = field_[np.rint(ys).astype(int), np.rint(xs).astype(int)]
    along = at[:, 0] * (across / length) + at[:, 1] * (down / length)
    score = along.sum() / SAMPLES + min(0.5 * field_.shape[0] / length - 1, 0)
    if (along > AFFINE).sum() > SHARE_AFFINE * SAMPLES and score > 0:
        return float(score)
    return None


def join(
    bodies: list[Body],
    link: Link,
    pair: tuple[int, int],
    peaks: Sequence[Sequence[Peak]],
    *,
    begin: bool,
) -> None:
    """Add a link to the body that has one of its joints, or join two bodies by it."""
    start, end = pair
    having = [
        body
        for body in bodies
        if body.joints.get(start) == link.start or body.joints.get(end) == link.end
    ][:2]
    if len(having) == 2 and having[0].joints.keys().isdisjoint(having[1].joints):
        first, second = having
        first.joints.update(second.joints)
        first.score += second.score + link.score
        first.count += second.count
        bodies.remove(second)
    elif having:
        body = having[0]
        if len(having) == 2 or body.joints.get(end) != link.end:
            body.joints[end] = link.end
            body.score += peaks[end][link.end].score + link.score
            body.count += 1
    elif begin:
        scores = peaks[start][link.start].score + peaks[end][link.end].score
        bodies.append(Body({start: link.start, end: link.end}, scores + link.score, 2))
