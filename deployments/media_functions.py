"""Video and audio functions of the IMAGE stage: tensors outside, media/ inside."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np
import torch

from deployments.output_functions import as_array
from graph.stages.media import MergeMethod
from graph.values import Audio, Image, InputFile, Tensor, Video, VideoInfo
from imaging.resize import scale_image
from media.errors import AudioTooLongError, NoStretchError, WrongChannelsError
from media.frame_choice import FrameChoice
from media.limits import MediaLimits, MediaNotWritableError, MediaUnreadableError
from media.probe import bounded, probe
from media.reading import Part, Pixels, Sound, read_frames, read_sound
from media.sounds import Wave, at_one_rate, mixed, stereo
from media.traces import compressed

VIDEO, SOUND = "video", "sound"
NO_LIMIT = 2**62
EQUAL, MONO, STEREO = "as many channels in both", "two mono sounds", "stereo"


class HasLimits(Protocol):
    @property
    def media_limits(self) -> MediaLimits: ...


class NodeMedia:
    """Functions for video and sound, within `media_limits`."""

    def frames_and_sound(self: HasLimits, video: Video) -> tuple[Image, Audio | None, float]:
        if video.file is None:
            part = part_of(video)
            frames, audio = video.frames, video.audio
            if part.start_s or part.duration_s is not None:
                frames, audio = _part_of_frames(video, part)
            return frames, audio, float(video.fps)
        content, limits, part = video.file.content, self.media_limits, part_of(video)
        fps = video_fps(content, limits)
        images = tensor_of(read_frames(content, limits, part))
        sound = read_sound(content, limits, part)
        return images, audio_of(sound), fps

    def trim_video(
        self: HasLimits, video: Video, start_s: float, duration_s: float, *, strict: bool
    ) -> Video:
        length_s = video_length_s(video, self.media_limits)
        begin_s = max(0.0, length_s + start_s) if start_s < 0 else start_s
        left_s = max(0.0, length_s - begin_s)
        if left_s <= 0 or (strict and left_s < duration_s):
            raise NoStretchError(VIDEO, length_s, start_s, duration_s)
        wanted_s = min(duration_s or left_s, left_s)
        return replace(video, start_s=video.start_s + begin_s, duration_s=wanted_s)

    def chosen_frames(
        self: HasLimits,
        file: InputFile,
        *,
        fps: float,
        size: tuple[int, int],
        most: int,
        skip: int,
        every: int,
        start_s: float = 0.0,
    ) -> tuple[Image, Audio | None, VideoInfo]:
        content = file.content
        loose = replace(self.media_limits, all_pixels=NO_LIMIT)  # what is chosen is bounded below
        info = probe(content, loose)
        if info.video is None:
            raise MediaUnreadableError("video", "it has no video stream")
        choice = FrameChoice(float(info.video.fps), fps, skip, every)
        source = read_frames(content, loose, Part(start_s))
        limit = most or self.media_limits.frames
        chosen = islice(choice.of(source), limit + (not most))
        images = tensor_of(_bounded(chosen, self.media_limits))
        if any(size):
            images = _resized(images, size)
        count, height, width = images.shape[:3]
        length_s = count / choice.loaded_fps
        sound = read_sound(content, loose, Part(start_s + choice.start_s, length_s))
        frames = info.video.frames or round(info.duration_s * info.video.fps)
        there = (float(info.video.fps), frames, info.duration_s)
        return (
            images,
            audio_of(sound),
            VideoInfo(
                (*there, info.video.width, info.video.height),
                (choice.loaded_fps, count, length_s, width, height),
            ),
        )

    def compressed(self, images: Image, crf: int) -> Image:
        """Of odd sides the last row and column are left out, unless nothing is compressed."""
        if crf == 0:
            return images
        pixels = as_array(images)[..., :3]
        height, width = (side // 2 * 2 for side in pixels.shape[1:3])
        if not (height and width):
            raise MediaNotWritableError("mp4", "a picture has at least two pixels along a side")
        octets = (pixels[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)
        pictures = np.stack([compressed(picture, crf) for picture in octets])
        return torch.from_numpy(pictures).float() / 255.0

    def decode_audio(self: HasLimits, file: InputFile, start_s: float, duration_s: float) -> Audio:
        part = Part(start_s, duration_s or None)
        audio = audio_of(read_sound(file.content, self.media_limits, part))
        if audio is None:
            raise MediaUnreadableError("audio", "it has no audio stream")
        return audio

    def silence(self: HasLimits, duration_s: float, sample_rate: int, channels: int) -> Audio:
        bounded("seconds of sound", duration_s, self.media_limits.duration_s)
        return Audio(torch.zeros(1, channels, round(duration_s * sample_rate)), sample_rate)

    def trim_audio(self, audio: Audio, start_s: float, duration_s: float) -> Audio:
        count, rate = audio.waveform.shape[-1], audio.sample_rate
        if count == 0:
            return audio
        offset = _samples(start_s, rate, count)
        start = max(0, min(count + offset if start_s < 0 else offset, count))
        end = min(start + _samples(duration_s, rate, count), count)
        if start >= end:
            raise NoStretchError(SOUND, count / rate, start_s, duration_s)
        return Audio(audio.waveform[..., start:end], rate)

    def join_audio(self: HasLimits, first: Audio, second: Audio) -> Audio:
        a, b, rate = at_one_rate(
            stereo(as_array(first.waveform)),
            first.sample_rate,
            stereo(as_array(second.waveform)),
            second.sample_rate,
        )
        if a.shape[:2] != b.shape[:2]:
            raise WrongChannelsError(EQUAL, a.shape[1], b.shape[1])
        seconds = (a.shape[-1] + b.shape[-1]) / rate
        if seconds > self.media_limits.duration_s:
            raise AudioTooLongError(seconds, self.media_limits.duration_s)
        return audio_from(np.concatenate((a, b), axis=2), rate)

    def merge_audio(self, first: Audio, second: Audio, method: MergeMethod) -> Audio:
        a, b, rate = at_one_rate(
            as_array(first.waveform),
            first.sample_rate,
            as_array(second.waveform),
            second.sample_rate,
        )
        if a.shape[1] != b.shape[1] and 1 not in {a.shape[1], b.shape[1]}:
            raise WrongChannelsError(EQUAL, a.shape[1], b.shape[1])
        empty = 0 in {a.shape[-1], b.shape[-1]}
        return audio_from(a if empty else mixed(a, b, method), rate)

    def audio_volume(self, audio: Audio, decibels: int) -> Audio:
        return replace(audio, waveform=audio.waveform * 10 ** (decibels / 20))

    def split_channels(self, audio: Audio) -> tuple[Audio, Audio]:
        wave = audio.waveform
        if wave.shape[1] != 2:
            raise WrongChannelsError(STEREO, wave.shape[1], wave.shape[1])
        return replace(audio, waveform=wave[:, :1]), replace(audio, waveform=wave[:, 1:])

    def join_channels(self, left: Audio, right: Audio) -> Audio:
        if (left.waveform.shape[1], right.waveform.shape[1]) != (1, 1):
            raise WrongChannelsError(MONO, left.waveform.shape[1], right.waveform.shape[1])
        a, b, rate = at_one_rate(
            as_array(left.waveform),
            left.sample_rate,
            as_array(right.waveform),
            right.sample_rate,
        )
        count = min(a.shape[-1], b.shape[-1])
        return audio_from(np.concatenate((a[..., :count], b[..., :count]), axis=1), rate)


def part_of(video: Video) -> Part:
    """The part of its file, or of its frames, that a video is."""
    return Part(video.start_s, video.duration_s or None)


def video_fps(content: bytes, limits: MediaLimits) -> float:
    """The frame rate in a file's header. Raises MediaUnreadableError: it has no video."""
    info = probe(content, limits)
    if info.video is None:
        raise MediaUnreadableError("video", "it has no video stream")
    return float(info.video.fps)


def video_length_s(video: Video, limits: MediaLimits) -> float:
    """How long a video is."""
    if video.duration_s:
        return video.duration_s
    if video.file is None:
        assert video.frames is not None
        return float(video.frames.shape[0] / video.fps) - video.start_s
    return probe(video.file.content, limits).duration_s - video.start_s


def audio_of(sound: Sound | None) -> Audio | None:
    """What was read, as a value of links."""
    return None if sound is None else audio_from(sound.samples[None], sound.sample_rate)


def audio_from(wave: Wave, sample_rate: int) -> Audio:
    """Samples [B, C, n] as a value of links."""
    return Audio(torch.from_numpy(np.ascontiguousarray(wave, np.float32)), sample_rate)


def tensor_of(frames: Iterator[Pixels]) -> Tensor:
    """Frames [H, W, 3] as pictures [B, H, W, 3], float32 in 0..1."""
    return torch.stack([torch.from_numpy(frame).float().div_(255.0) for frame in frames])


def _bounded(frames: Iterator[Pixels], limits: MediaLimits) -> Iterator[Pixels]:
    for count, frame in enumerate(frames, 1):
        bounded("frames", count, limits.frames)
        bounded("pixels in all frames", count * frame.shape[0] * frame.shape[1], limits.all_pixels)
        yield frame


def _part_of_frames(video: Video, part: Part) -> tuple[Image, Audio | None]:
    assert video.frames is not None
    held = [k for k in range(video.frames.shape[0]) if part.holds(k / video.fps)]
    audio = video.audio
    if audio is not None:
        begin = round(part.start_s * audio.sample_rate)
        count = None if part.duration_s is None else round(part.duration_s * audio.sample_rate)
        wave = audio.waveform[..., begin:]
        audio = replace(audio, waveform=wave[..., :count])
    return video.frames[held], audio


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures of a width and height, of which one may be 0: as the other asks."""
    height, width = images.shape[1:3]
    new_width = size[0] or round(size[1] * width / height)
    new_height = size[1] or round(size[0] * height / width)
    if (new_width, new_height) == (width, height):
        return images
    return scale_image(images, new_width, new_height, "lanczos", "center")


def _samples(seconds: float, rate: int, most: int) -> int:
    """Seconds as a number of samples, no farther than `most` on either side of 0."""
    return round(max(-most, min(most, seconds * rate)))
