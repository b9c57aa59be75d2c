"""Limits on video and audio files, and the errors for files beyond them."""

from dataclasses import dataclass
from fractions import Fraction

from graph.errors import ServiceError


@dataclass(frozen=True)
class MediaLimits:
    """Bounds that hold before a file is decoded, by its header, and while it is."""

    frames: int = 10_000
    frame_pixels: int = 4096 * 4096
    all_pixels: int = 2**32  # of all frames that are handed out
    duration_s: float = 3600.0
    streams: int = 16
    sample_rate: int = 384_000
    channels: int = 8
    max_fps: Fraction = Fraction(1000)


@dataclass(eq=False)
class MediaUnreadableError(ServiceError):
    """Bytes that are no video or audio, or of a format or codec that is not read."""

    status = 422
    code = "media_unreadable"
    template = "The file has no readable {wanted}: {problem}."
    wanted: str  # "video", "audio", "media"
    problem: str


@dataclass(eq=False)
class MediaTooLargeError(ServiceError):
    """A file that is longer, larger or of more parts than this service takes."""

    status = 422
    code = "media_too_large"
    template = "The file has {received} {what}; at most {limit} are read."
    what: str
    received: float
    limit: float


@dataclass(eq=False)
class MediaNotWritableError(ServiceError):
    """Frames or sound that a format cannot hold."""

    status = 422
    code = "media_not_writable"
    template = "{format} cannot be written: {problem}."
    format: str
    problem: str
