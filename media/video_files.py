"""Videos as files that are not yet named: encoded, or copied without decoding."""

import io
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from itertools import chain

from PIL import Image

from graph.new_files import NewFile
from media.audio_formats import OPUS_RATES, next_rate
from media.limits import MediaLimits, MediaNotWritableError
from media.probe import DEFAULT_LIMITS, probe
from media.reading import Pixels, Sound, read_frames
from media.remuxing import remux
from media.sounds import of_length, resampled
from media.video_formats import VideoFormat
from media.writing import write_video

POSTER_QUALITY = 85
AAC_RATES = (
    7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000,
)  # fmt: skip
RATES = {"aac": AAC_RATES, "libopus": OPUS_RATES}
CONTAINERS = {  # by extension: how it is copied into
    ".mp4": ("mp4", "video/mp4"),
    ".mkv": ("matroska", "video/x-matroska"),
    ".webm": ("webm", "video/webm"),
}
WEBM_CODECS = frozenset({"vp8", "vp9", "libvpx-vp9", "av1", "libdav1d"})
CODED_AS = {"h264": "h264", "libdav1d": "av1", "av1": "av1"}  # by decoder: as nodes name them


def video_file(
    frames: Iterable[Pixels],
    prefix: str,
    how: VideoFormat,
    fps: Fraction,
    *,
    sound: Sound | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
    temporary: bool = False,
) -> NewFile:
    """Frames of one size as a file, with a poster of the first one.

    Raises:
        MediaNotWritableError: no frames, or what the format cannot hold.
    """
    several = iter(frames)
    first = next(several, None)
    if first is None:
        raise MediaNotWritableError(how.mime_type, "there are no frames")
    target = io.BytesIO()
    fitting = None if sound is None else sound_for(how.audio_codec, sound)
    count = write_video(
        target, chain([first], several), how, fps, sound=fitting, tags=tags, progress=progress
    )
    height, width = first.shape[:2]
    if how.even:
        height, width = height + height % 2, width + width % 2
    facts = {"fps": float(fps), "frames": count, "duration_s": round(float(count / fps), 3)}
    return NewFile(
        target.getvalue(),
        prefix,
        how.extension,
        "video",
        how.mime_type,
        width,
        height,
        temporary=temporary,
        facts=facts,
        poster=poster_of(first),
    )


def copied_file(
    content: bytes,
    prefix: str,
    container: str,
    codec: str,
    *,
    tags: Mapping[str, str],
    limits: MediaLimits = DEFAULT_LIMITS,
) -> NewFile | None:
    """A video's streams in a new file with more tags; None where it has to be encoded again.

    `container` and `codec` are what the node asks for: "mp4", "h264" ... or "auto".

    Raises:
        MediaUnreadableError: it is broken.
    """
    info = probe(content, limits)
    video = info.video
    if video is None or codec not in {"auto", CODED_AS.get(video.codec)}:
        return None
    matroska = ".webm" if video.codec in WEBM_CODECS else ".mkv"
    own = {"mov": ".mp4", "matroska": matroska}.get(info.format)
    if own is None or container not in {"auto", own[1:]}:
        return None
    muxer, mime_type = CONTAINERS[own]
    target = io.BytesIO()
    remux(content, target, muxer, tags)
    first = next(read_frames(content, limits))
    frames = video.frames or round(info.duration_s * video.fps)
    facts = {"fps": float(video.fps), "frames": frames, "duration_s": round(info.duration_s, 3)}
    return NewFile(
        target.getvalue(),
        prefix,
        own,
        "video",
        mime_type,
        video.width,
        video.height,
        facts=facts,
        poster=poster_of(first),
    )


def sound_for(codec: str, sound: Sound) -> Sound:
    """Sound at a rate that a codec has."""
    rate = next_rate(sound.sample_rate, RATES.get(codec, ()))
    return Sound(resampled(sound.samples[None], sound.sample_rate, rate)[0], rate)


def sound_of_length(sound: Sound, seconds: float) -> Sound:
    """Sound cut to a length, or continued by silence."""
    count = round(seconds * sound.sample_rate)
    return Sound(of_length(sound.samples[None], count)[0], sound.sample_rate)


def poster_of(frame: Pixels) -> bytes:
    """A frame as a JPEG."""
    target = io.BytesIO()
    Image.fromarray(frame[..., :3]).save(target, "JPEG", quality=POSTER_QUALITY)
    return target.getvalue()
