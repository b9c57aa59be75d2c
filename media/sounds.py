"""Operations on sound: samples [B, C, n], float32 in -1..1."""

import math

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]  # [B, C, n]
ZERO_CROSSINGS = 6
ROLLOFF = 0.99
BLOCK = 2**20  # weights that are computed at once


def resampled(wave: Wave, rate: int, to_rate: int) -> Wave:
    """Samples at another rate, by a sinc filter under a Hann window.

    It is what torchaudio.functional.resample computes with its defaults (Smith, "Digital Audio
    Resampling"), without a table of weights, whose size grows with the product of the rates.
    """
    divisor = math.gcd(rate, to_rate)
    old, new = rate // divisor, to_rate // divisor
    count = wave.shape[-1]
    if old == new or count == 0:
        return wave
    base = min(old, new) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * old / base)
    taps = np.arange(-width, width + 2)
    results = math.ceil(new * count / old)
    padded = np.pad(wave, ((0, 0), (0, 0), (width, width + 2)))
    found = np.empty((*wave.shape[:-1], results), np.float32)
    step = max(1, BLOCK // len(taps))
    for begin in range(0, results, step):
        number = np.arange(begin, min(begin + step, results))
        start = number * old // new
        inside = start - number // new * old
        times = (inside[:, None] + taps).astype(np.float32) / np.float32(old)
        times -= ((number % new).astype(np.float32) / np.float32(new))[:, None]
        weights = _windowed_sinc(times * np.float32(base)) * np.float32(base / old)
        places = np.minimum(start[:, None] + taps + width, padded.shape[-1] - 1)
        found[..., number] = np.einsum("bcnk,nk->bcn", padded[..., places], weights)
    return found


def _windowed_sinc(times: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """In float32 throughout, as it is computed there."""
    clipped = np.clip(times, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(clipped * np.float32(np.pi) / ZERO_CROSSINGS / 2) ** 2
    angles = clipped * np.float32(np.pi)
    safe = np.where(angles == 0, np.float32(1), angles)
    weights: npt.NDArray[np.float32] = np.where(angles == 0, 1, np.sin(safe) / safe) * window
    return weights


def at_one_rate(first: Wave, rate: int, second: Wave, other_rate: int) -> tuple[Wave, Wave, int]:
    """Two sounds at the higher of their rates."""
    highest = max(rate, other_rate)
    return resampled(first, rate, highest), resampled(second, other_rate, highest), highest


def stereo(wave: Wave) -> Wave:
    """Mono on two channels; anything else as it is."""
    return np.repeat(wave, 2, axis=1) if wave.shape[1] == 1 else wave


def of_length(wave: Wave, count: int) -> Wave:
    """Cut to `count` samples, or continued by silence."""
    missing = max(0, count - wave.shape[-1])
    return np.pad(wave[..., :count], ((0, 0), (0, 0), (0, missing)))


def mixed(first: Wave, second: Wave, method: str) -> Wave:
    """Two sounds over each other, as long as the first, and no louder than 1."""
    other = of_length(second, first.shape[-1])
    if method == "multiply":
        wave = first * other
    else:
        wave = first - other if method == "subtract" else first + other
        wave = wave / 2 if method == "mean" else wave
    loudest = float(np.abs(wave).max(initial=0.0))
    return (wave / loudest if loudest > 1 else wave).astype(np.float32)
