"""Encodes video frame by frame, with audio and metadata."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from media.containers import BROKEN_FILE, plain
from media.limits import MediaNotWritableError
from media.reading import Pixels, Sound
from media.video_formats import VideoFormat

BT709 = 1  # as FFmpeg numbers primaries and transfer
LIMITED = 1
SOUND_BLOCK = 65_536  # samples that are handed to an encoder at once
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def as_rate(fps: float) -> Fraction:
    """A frame rate to a thousandth, as ComfyUI writes it (comfy_api video_types.py, save_to)."""
    return Fraction(round(fps * 1000), 1000)


def write_video(
    target: BinaryIO,
    frames: Iterable[Pixels],
    how: VideoFormat,
    fps: Fraction,
    *,
    sound: Sound | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write frames of one size, [H, W, 3] or [H, W, 4], to `target`; returns how many.

    `progress` hears the number of each frame that was written. Sound is written as it is: cut it
    to the length that is wanted before.

    Raises:
        MediaNotWritableError: no frames, or what the format cannot hold.
    """
    several = iter(frames)
    first = next(several, None)
    if first is None:
        raise MediaNotWritableError(how.mime_type, "there are no frames")
    count = 0
    try:
        with av.open(
            target, mode="w", format=how.container, options=dict(how.container_options)
        ) as file:
            file.metadata.update(tags or {})
            video = _video_stream(file, how, fps, first)
            audio = _audio_stream(file, how.audio_codec, sound) if sound else None
            for frame in chain([first], several):
                file.mux(video.encode(_encodable(frame, how)))
                count += 1
                progress(count)
            file.mux(video.encode(None))
            if audio and sound:
                write_sound_into(file, audio, sound)
    except BROKEN_FILE as error:
        raise MediaNotWritableError(how.mime_type, plain(error)) from error
    return count


def _video_stream(
    file: OutputContainer, how: VideoFormat, fps: Fraction, first: Pixels
) -> VideoStream:
    stream = file.add_stream(how.codec, rate=fps, options=dict(how.options))
    assert isinstance(stream, VideoStream)
    height, width = _even(first).shape[:2] if how.even else first.shape[:2]
    stream.width, stream.height, stream.pix_fmt = width, height, how.pixel_format
    context = stream.codec_context
    if how.tag:
        context.codec_tag = how.tag
    if how.bt709:
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries = context.color_trc = BT709
    if how.container == "webm":
        context.bit_rate = 0  # constant quality
    return stream


def _encodable(frame: Pixels, how: VideoFormat) -> VideoFrame:
    pixels = _even(frame) if how.even else frame
    given = "rgba" if pixels.shape[2] == 4 else "rgb24"
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given)
    if how.bt709:
        return picture.reformat(
            format=how.pixel_format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
    return picture.reformat(format=how.pixel_format)


def _even(frame: Pixels) -> Pixels:
    """A frame of even height and width, its last row and column repeated where one is missing."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _audio_stream(file: OutputContainer, codec: str, sound: Sound) -> AudioStream:
    stream = file.add_stream(codec, rate=sound.sample_rate, layout=layout_of(sound))
    assert isinstance(stream, AudioStream)
    return stream


def layout_of(sound: Sound) -> str:
    """FFmpeg's name for the channels.

    Raises:
        MediaNotWritableError: it has none for so many.
    """
    channels = sound.samples.shape[0]
    if channels not in LAYOUTS:
        raise MediaNotWritableError("audio", f"{channels} channels have no common layout")
    return LAYOUTS[channels]


def write_sound_into(file: OutputContainer, stream: AudioStream, sound: Sound) -> None:
    """Encode all samples into a stream of a file that is being written."""
    for frame in _sound_frames(sound):
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def _sound_frames(sound: Sound) -> Iterator[AudioFrame]:
    layout = layout_of(sound)
    for begin in range(0, sound.samples.shape[1], SOUND_BLOCK):
        block = np.ascontiguousarray(sound.samples[:, begin : begin + SOUND_BLOCK], np.float32)
        frame = AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate = sound.sample_rate
        frame.pts = begin
        yield frame
