"""Decodes video frame by frame, and audio as samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from media.containers import opened
from media.limits import MediaLimits, MediaUnreadableError
from media.probe import DEFAULT_LIMITS, bounded, info_of

Pixels = npt.NDArray[np.uint8]  # [H, W, 3], or [H, W, 4] with alpha
TICK_S = 1e-6  # times are rounded sums
Samples = npt.NDArray[np.float32]  # [C, n], -1..1


@dataclass(frozen=True)
class Part:
    """A stretch of a file, in seconds from its start. No duration: to the end."""

    start_s: float = 0.0
    duration_s: float | None = None

    def holds(self, time_s: float) -> bool:
        """Whether a frame shown at `time_s` is in it."""
        return time_s > self.start_s - TICK_S and not self.ended(time_s)

    def ended(self, time_s: float) -> bool:
        """Whether `time_s` is behind it."""
        return self.duration_s is not None and time_s > self.start_s + self.duration_s - TICK_S


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples [C, n], float32 in -1..1, at `sample_rate` Hz."""

    samples: Samples
    sample_rate: int


WHOLE = Part()


def read_frames(
    content: bytes, limits: MediaLimits = DEFAULT_LIMITS, part: Part = WHOLE
) -> Iterator[Pixels]:
    """The frames [H, W, 3] of a file's first video stream, as they are decoded.

    Raises:
        MediaUnreadableError: there is no video in it, or it breaks off before the first frame.
        MediaTooLargeError: more frames or pixels than `limits` allow, whatever the header says.
    """
    with opened(content, wanted="video") as file:
        info = info_of(file, limits)
        if info.video is None:
            raise MediaUnreadableError("video", "it has no video stream")
        size = (info.video.height, info.video.width)
        count = 0
        for time_s, frame in _decoded(file, info.video.fps):
            if part.ended(time_s):
                return
            if not part.holds(time_s):
                continue
            count += 1
            bounded("frames", count, limits.frames)
            bounded("pixels in all frames", count * size[0] * size[1], limits.all_pixels)
            if frame.shape[:2] != size:
                raise MediaUnreadableError("video", "its frames change their size")
            yield frame
        if count == 0:
            raise MediaUnreadableError("video", "it has no frames there")


def _decoded(file: InputContainer, fps: Fraction) -> Iterator[tuple[float, Pixels]]:
    """Each frame with its time in seconds from the first. A file that is cut short just ends."""
    first = None
    for index, frame in enumerate(file.decode(video=0)):
        time_s = frame.time if frame.time is not None else float(index / fps)
        first = time_s if first is None else first
        yield time_s - first, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def read_sound(
    content: bytes, limits: MediaLimits = DEFAULT_LIMITS, part: Part = WHOLE
) -> Sound | None:
    """The samples of a file's first audio stream, or None where it has none.

    Raises:
        MediaUnreadableError: it is broken.
        MediaTooLargeError: it is longer than `limits` allow, whatever the header says.
    """
    with opened(content, wanted="audio") as file:
        info = info_of(file, limits)
        if info.audio is None:
            return None
        rate = info.audio.sample_rate
        planar = AudioResampler(format="fltp")
        pieces: list[Samples] = []
        count = 0
        for frame in file.decode(audio=0):
            for piece in _pieces(planar, frame):
                count += piece.shape[1]
                bounded("seconds of sound", count / rate, limits.duration_s)
                pieces.append(piece)
            if part.duration_s is not None and count > (part.start_s + part.duration_s) * rate:
                break
        samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
    begin = round(part.start_s * rate)
    end = None if part.duration_s is None else begin + round(part.duration_s * rate)
    return Sound(samples[:, begin:end], rate)


def _pieces(planar: AudioResampler, frame: AudioFrame | None) -> Iterator[Samples]:
    for converted in planar.resample(frame):
        yield converted.to_ndarray().astype(np.float32)
