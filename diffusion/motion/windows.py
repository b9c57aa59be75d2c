"""Context windows over frames: their places at a step, and the fusing of their predictions.

(ComfyUI-AnimateDiff-Evolved context.py)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from graph.errors import ServiceError
from graph.motion import Windows

Frames: TypeAlias = tuple[int, ...]
HALVING_BITS = 64
SIGMA_MOST = 4.0  # above which weights that go by sigma stay the same
NEARLY_ZERO = 1e-37
LEAST_BIAS = 1e-2
MOST_SEEN = 32  # windows of one width that a frame may be in


@dataclass(eq=False)
class WindowOverlapError(ServiceError):
    """Windows that move on too little: none would be left, or each frame would be in very many."""

    status = 422
    code = "window_overlap_invalid"
    template = (
        "Context windows, input 'context_overlap': must be at most {most} for windows of {length}, "
        "got {received}."
    )
    most: int
    length: int
    received: int


def check_overlap(windows: Windows) -> None:
    """Raises WindowOverlapError where a frame would be in more than MOST_SEEN windows."""
    most = windows.length - math.ceil(windows.length / MOST_SEEN)
    if windows.schedule in OVERLAPPING and windows.overlap > most:
        raise WindowOverlapError(most, windows.length, windows.overlap)


def halved(step: int) -> float:
    """The bits of a step behind the point, in reverse: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    return int(f"{step:0{HALVING_BITS}b}"[::-1], 2) / float(2**HALVING_BITS)


def frames_of(windows: Windows, frames: int, step: int) -> list[Frames]:
    """The windows over so many frames at a step."""
    return SCHEDULES[windows.schedule](windows, frames, step)


def _rolling(windows: Windows, frames: int, step: int) -> list[Frames]:
    """Evenly laid, shifted from step to step, with wide ones of every second frame and so on."""
    widest = min(windows.stride, math.ceil(math.log2(frames / windows.length)) + 1)
    found = []
    for stride in (2**power for power in range(widest)):
        shift = round(frames * halved(step))
        first = int(halved(step) * stride) + shift
        end = frames + shift + (0 if windows.closed_loop else -windows.overlap)
        span = windows.length * stride
        starts = range(first, end, max(1, span - windows.overlap))
        found += [tuple(k % frames for k in range(j, j + span, stride)) for j in starts]
    return found


def looped(windows: Windows, frames: int, step: int) -> list[Frames]:
    """Windows that go on at the beginning where they pass the end."""
    whole = [tuple(range(frames))]
    return whole if frames < windows.length else _rolling(windows, frames, step)


def standard(windows: Windows, frames: int, step: int) -> list[Frames]:
    """As `looped`, but what would pass the end is moved back to it, and none is there twice."""
    if frames <= windows.length:
        return [tuple(range(frames))]
    found = _rolling(replace(windows, closed_loop=False), frames, step)
    place = 0
    while place < len(found):
        own = found[place]
        turn = next((k for k, v in enumerate(own) if k and v < own[k - 1]), None)
        if turn is not None:
            found[place] = _at_end(own, frames)
            if own[turn] not in found[(place + 1) % len(found)]:
                restart = tuple(range(own[turn], own[turn] + windows.length))
                found.insert(place + 1, restart)
        place += 1
    return list(dict.fromkeys(found))


def _at_end(window: Frames, frames: int) -> Frames:
    moved = [(frame - window[0]) % frames for frame in window]
    return tuple(frame + frames - max(moved) - 1 for frame in moved)


def static(windows: Windows, frames: int, _step: int) -> list[Frames]:
    """The same at every step; the last one is moved back to the end."""
    if frames <= windows.length:
        return [tuple(range(frames))]
    hop = max(1, windows.length - windows.overlap)
    last = frames - windows.length
    starts = [*takewhile(lambda start: start < last, count(0, hop)), last]
    return [tuple(range(start, start + windows.length)) for start in starts]


def batched(windows: Windows, frames: int, _step: int) -> list[Frames]:
    """One behind the other, the last one as short as is left."""
    length = windows.length
    return [tuple(range(start, min(start + length, frames))) for start in range(0, frames, length)]


def whole(_windows: Windows, frames: int, _step: int) -> list[Frames]:
    """All frames in one, in which views are all that moves."""
    return [tuple(range(frames))]


SCHEDULES: Mapping[str, Callable[[Windows, int, int], list[Frames]]] = MappingProxyType(
    {
        "looped_uniform": looped,
        "standard_uniform": standard,
        "standard_static": static,
        "batched": batched,
        "view_as_context": whole,
    }
)


OVERLAPPING = frozenset({"looped_uniform", "standard_uniform", "standard_static"})


def flat(length: int, _sigma: float) -> Tensor:
    return torch.ones(length)


def pyramid(length: int, _sigma: float) -> Tensor:
    """More the nearer to the middle: 1, 2, 3, 3, 2, 1."""
    places = torch.arange(length)
    return torch.minimum(places + 1, length - places).float()


def sawtooth(length: int, sigma: float) -> Tensor:
    """Nearly nothing in the first half, then as the pyramid."""
    weights = pyramid(length, sigma)
    weights[: (length + 1) // 2 - 1] = 0.01
    return weights


def _peak(length: int) -> Tensor:
    """The middle as high as the pyramid's, all else as far below zero."""
    most = (length + 1) // 2
    peak = torch.full((length,), -float(most))
    peak[(length - 1) // 2 : length // 2 + 1] = most
    return peak


def _share(sigma: float) -> float:
    return min(SIGMA_MOST, sigma) / SIGMA_MOST


def pyramid_sigma(length: int, sigma: float) -> Tensor:
    """The pyramid while there is much noise, ever narrower below."""
    share = _share(sigma)
    mixed = share * pyramid(length, sigma) + (1.0 - share) * _peak(length)
    return mixed.clamp(0.001, (length + 1) // 2)


def pyramid_sigma_inverse(length: int, sigma: float) -> Tensor:
    """Narrow while there is much noise, the pyramid in the end."""
    share = _share(sigma)
    mixed = share * _peak(length) + (1.0 - share) * pyramid(length, sigma)
    return mixed.clamp(0.001, (length + 1) // 2)


def _gauss(length: int, spread: float) -> Tensor:
    places = torch.linspace(-(length - 1) / 2.0, (length - 1) / 2.0, length, dtype=torch.float64)
    weights = torch.exp(-0.5 * places.square() / spread**2)
    length_of_all = torch.linalg.vector_norm(weights)
    bell: Tensor = weights * ((length + 1) // 2 / length_of_all)
    return bell.float()


def gauss_sigma(length: int, sigma: float) -> Tensor:
    """A bell, wide while there is much noise."""
    return _gauss(length, 1.0 + 8.0 * _share(sigma))


def gauss_sigma_inverse(length: int, sigma: float) -> Tensor:
    """A bell, narrow while there is much noise."""
    return _gauss(length, 1.0 + 8.0 * (1.0 - _share(sigma)))


WEIGHTS: Mapping[str, Callable[[int, float], Tensor]] = MappingProxyType(
    {
        "flat": flat,
        "pyramid": pyramid,
        "relative": pyramid,  # for views; windows are fused by a running mean
        "delayed reverse sawtooth": sawtooth,
        "pyramid-sigma": pyramid_sigma,
        "pyramid-sigma inverse": pyramid_sigma_inverse,
        "gauss-sigma": gauss_sigma,
        "gauss-sigma inverse": gauss_sigma_inverse,
    }
)


def weights_of(windows: Windows, own: Frames, frames: int, sigma: float) -> Tensor:
    """How much each frame of one window counts, [F]."""
    method = windows.fuse_method.removeprefix("🔬")
    if method != "overlap-linear":
        return WEIGHTS[method](len(own), sigma)
    weights = torch.ones(len(own))
    overlap = min(windows.overlap, len(own))
    if overlap and min(own) > 0:
        weights[:overlap] = torch.linspace(NEARLY_ZERO, 1, overlap)
    if overlap and max(own) < frames - 1:
        weights[-overlap:] = torch.linspace(1, NEARLY_ZERO, overlap)
    return weights


def fused(
    windows: Windows, answers: Sequence[tuple[Frames, Tensor]], like: Tensor, sigma: float
) -> Tensor:
    """What windows say of their frames, [f, ...] each, put together for all frames of `like`."""
    if windows.fuse_method == "relative":
        return _running_mean(answers, like)
    total = torch.zeros_like(like)
    counted = like.new_zeros(len(like), *[1] * (like.ndim - 1))
    for own, answer in answers:
        weights = weights_of(windows, own, len(like), sigma).to(like)
        weights = weights.reshape(-1, *[1] * (like.ndim - 1))
        places = list(own)
        total[places] += answer * weights
        counted[places] += weights
    return total / counted


def _running_mean(answers: Sequence[tuple[Frames, Tensor]], like: Tensor) -> Tensor:
    """Frames count by their distance to the middle of a window, one window after the other."""
    mean, totals = torch.zeros_like(like), [0.0] * len(like)
    for own, answer in answers:
        middle, half = (own[0] + own[-1]) / 2, (own[-1] - own[0] + 1e-2) / 2
        for place, frame in enumerate(own):
            bias = max(LEAST_BIAS, 1 - abs(frame - middle) / half)
            before, totals[frame] = totals[frame], totals[frame] + bias
            known = before / totals[frame]
            mean[frame] = mean[frame] * known + answer[place] * (bias / totals[frame])
    return mean
