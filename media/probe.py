"""Probes a media file and checks it against limits before decoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from media.containers import opened
from media.limits import MediaLimits, MediaTooLargeError, MediaUnreadableError

MICROSECONDS = 1_000_000
DEFAULT_LIMITS = MediaLimits()


@dataclass(frozen=True)
class VideoInfo:
    """A video stream. `frames` is declared or follows from the duration; 0 where neither says."""

    codec: str
    width: int
    height: int
    fps: Fraction
    frames: int
    pixel_format: str


@dataclass(frozen=True)
class AudioInfo:
    """An audio stream. `sample_rate` is in Hz."""

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class MediaInfo:
    """A file: its first video and first audio stream, and its tags."""

    format: str  # FFmpeg's name, of several the first: "mov", "matroska"
    duration_s: float
    video: VideoInfo | None
    audio: AudioInfo | None
    metadata: Mapping[str, str]


def probe(content: bytes, limits: MediaLimits = DEFAULT_LIMITS) -> MediaInfo:
    """What the header of a file says.

    Raises:
        MediaUnreadableError: it is no video or audio, or its header is broken.
        MediaTooLargeError: it declares more than `limits` allow.
    """
    with opened(content, wanted="media") as file:
        return info_of(file, limits)


def info_of(file: InputContainer, limits: MediaLimits) -> MediaInfo:
    """The same, of a file that is open."""
    bounded("streams", len(file.streams), limits.streams)
    duration_s = (file.duration or 0) / MICROSECONDS
    bounded("seconds", duration_s, limits.duration_s)
    video = next(iter(file.streams.video), None)
    audio = next(iter(file.streams.audio), None)
    if video is None and audio is None:
        problem = "it has neither a video nor an audio stream"
        raise MediaUnreadableError("media", problem)
    return MediaInfo(
        format=file.format.name.partition(",")[0],
        duration_s=duration_s,
        video=None if video is None else _video(video, duration_s, limits),
        audio=None if audio is None else _audio(audio, limits),
        metadata=dict(file.metadata),
    )


def _video(stream: VideoStream, duration_s: float, limits: MediaLimits) -> VideoInfo:
    width, height = stream.width, stream.height
    if width < 1 or height < 1 or stream.codec_context is None:
        problem = "its video stream has no size, or a codec that is not read"
        raise MediaUnreadableError("video", problem)
    bounded("pixels a frame", width * height, limits.frame_pixels)
    fps = Fraction(stream.average_rate or stream.guessed_rate or 1)
    fps = fps if 0 < fps <= limits.max_fps else Fraction(1)  # as ComfyUI takes one without a rate
    frames = stream.frames or int(duration_s * fps)
    bounded("frames", frames, limits.frames)
    bounded("pixels in all frames", frames * width * height, limits.all_pixels)
    name, pixel_format = stream.codec_context.name, stream.codec_context.pix_fmt
    return VideoInfo(name, width, height, fps, frames, pixel_format or "")


def _audio(stream: AudioStream, limits: MediaLimits) -> AudioInfo:
    context = stream.codec_context
    if context is None or not context.sample_rate or not context.channels:
        problem = "its audio stream has no sample rate, or a codec that is not read"
        raise MediaUnreadableError("audio", problem)
    bounded("samples a second", context.sample_rate, limits.sample_rate)
    bounded("channels", context.channels, limits.channels)
    return AudioInfo(context.name, context.sample_rate, context.channels)


def bounded(what: str, received: float, limit: float) -> None:
    """Raise MediaTooLargeError where `received` is over `limit`."""
    if received > limit:
        raise MediaTooLargeError(what, received, limit)
