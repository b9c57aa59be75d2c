"""The functions that nodes of the OUTPUT stage call: they encode, and return the files."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.combining import combined_file
from graph.new_files import NewFile
from graph.stages.output import Combining, PictureForm
from graph.values import Audio, FileNames, Image, Latent, Video
from media.audio_files import audio_files
from media.limits import MediaLimits, MediaNotWritableError
from media.probe import DEFAULT_LIMITS, probe
from media.reading import Part, Pixels, Sound, read_frames, read_sound
from media.video_files import copied_file, video_file
from media.video_formats import AV1, VP9, VideoFormat, saved_as
from media.writing import as_rate
from storage.animations import Animation
from storage.encoded_files import (
    animation_file,
    deep_picture_files,
    in_thread,
    latent_file,
    other_file,
    picture_files,
)
from storage.pictures import Encoding, to_bytes_per_channel

MOST_TOLD = 2_000  # characters of a text that an answer repeats


def silent(_done: int, _of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class NodeFiles:
    """The output stage as one node sees it.

    `made` takes each file once it is encoded; `told` hears, from any thread, how many frames are.
    """

    encoding: Encoding
    made: Callable[[NewFile], Awaitable[None]]
    report: Callable[[int, int], None] = silent
    limits: MediaLimits = DEFAULT_LIMITS

    async def save_images(
        self,
        images: Image,
        filename_prefix: str,
        *,
        temporary: bool = False,
        form: PictureForm | None = None,
    ) -> None:
        pixels = as_array(images)
        how = self.encoding if form is None else as_asked(self.encoding, form)
        files = picture_files(pixels, filename_prefix, how, temporary=temporary)
        async for file in in_thread(files):
            await self.made(file)

    async def save_images_as(
        self, images: Image, filename_prefix: str, *, format: str, bit_depth: str, colors: str
    ) -> None:
        pixels, text = as_array(images), self.encoding.text
        if bit_depth == "8-bit":
            plain = replace(self.encoding, format="png")
            files = picture_files(pixels, filename_prefix, plain)
        else:
            files = deep_picture_files(pixels, filename_prefix, format, colors, text)
        async for file in in_thread(files):
            await self.made(file)

    async def save_animation(self, images: Image, filename_prefix: str, **how: Any) -> None:
        encode = partial(animation_file, as_array(images), filename_prefix, Animation(**how))
        await self.made(await asyncio.to_thread(encode, self.encoding.text))

    async def save_latent(self, latent: Latent, filename_prefix: str) -> None:
        samples, text = as_array(latent.samples), self.encoding.text
        await self.made(await asyncio.to_thread(latent_file, samples, filename_prefix, text))

    async def send_images(self, images: Image) -> None:
        """As ComfyUI sends them: PNG without metadata."""
        pixels = as_array(images)
        files = picture_files(pixels, "ComfyUI", Encoding(), temporary=True)
        async for file in in_thread(files):
            self.report(file.batch_num, len(pixels))
            await self.made(replace(file, sent=True))

    async def show_text(self, text: str) -> None:
        """Keep a text as a small file for as long as previews are; its beginning is told too."""
        file = other_file(text.encode("utf-8", "replace"), "ComfyUI", ".txt")
        await self.made(replace(file, temporary=True, facts={"text": text[:MOST_TOLD]}))

    async def save_video(
        self,
        video: Video,
        filename_prefix: str,
        container: str,
        codec: str,
        crf: float | None = None,
    ) -> None:
        how = saved_as(container, codec)
        if how is None:
            raise MediaNotWritableError(container, f"it does not hold {codec}")
        text, whole = self.encoding.text, not (video.start_s or video.duration_s)
        file = None
        if video.file is not None and whole and crf is None:
            content = video.file.content
            copy = partial(copied_file, content, filename_prefix, container, codec)
            file = await asyncio.to_thread(copy, tags=text, limits=self.limits)
        if file is None:
            coded = how if crf is None else how.with_options(crf=str(crf))
            file = await asyncio.to_thread(self._coded, video, filename_prefix, coded)
        await self.made(file)

    async def save_webm(
        self, images: Image, filename_prefix: str, *, codec: str, fps: float, crf: float
    ) -> None:
        how = (AV1 if codec == "av1" else VP9).with_options(crf=str(crf))
        pixels = as_array(images)
        encode = partial(
            video_file,
            frames_of(pixels[..., :3]),
            filename_prefix,
            how,
            as_rate(fps),
            tags=self.encoding.text,
            progress=self._progress(len(pixels)),
        )
        await self.made(await asyncio.to_thread(encode))

    async def save_audio(
        self,
        audio: Audio,
        filename_prefix: str,
        *,
        kind: str,
        quality: str = "",
        temporary: bool = False,
    ) -> None:
        files = audio_files(
            as_array(audio.waveform),
            audio.sample_rate,
            filename_prefix,
            kind=kind,
            quality=quality,
            tags=self.encoding.text,
            temporary=temporary,
        )
        async for file in in_thread(files):
            await self.made(file)

    async def combine_video(
        self, images: Image, audio: Audio | None, filename_prefix: str, how: Combining
    ) -> FileNames:
        pixels, text = as_array(images), self.encoding.text
        sound = None if audio is None else sound_of(audio)
        progress = self._progress(len(pixels) * (how.loop_count + 1))
        encode = partial(
            combined_file, pixels, sound, filename_prefix, how, text=text, progress=progress
        )
        await self.made(await asyncio.to_thread(encode))
        return FileNames(how.saved, (filename_prefix,))

    def _coded(self, video: Video, prefix: str, how: VideoFormat) -> NewFile:
        frames, count, fps, sound = self._parts(video)
        rate = as_rate(fps)
        if sound is not None and count:
            most = -(-sound.sample_rate * count // rate)  # rounded up, as ComfyUI cuts it
            sound = Sound(sound.samples[:, : int(most)], sound.sample_rate)
        return video_file(
            frames,
            prefix,
            how,
            rate,
            sound=sound,
            tags=self.encoding.text,
            progress=self._progress(count),
        )

    def _parts(self, video: Video) -> tuple[Iterator[Pixels], int, float, Sound | None]:
        """Frames, how many there may be, their rate, and sound."""
        part = Part(video.start_s, video.duration_s or None)
        if video.file is None:
            pixels = as_array(video.frames)
            held = [k for k in range(len(pixels)) if part.holds(k / video.fps)]
            sound = None if video.audio is None else part_of_sound(sound_of(video.audio), part)
            return frames_of(pixels[held][..., :3]), len(held), video.fps, sound
        content = video.file.content
        info = probe(content, self.limits)
        fps = float(info.video.fps) if info.video else 1.0
        length_s = min(part.duration_s or info.duration_s, info.duration_s)
        frames = read_frames(content, self.limits, part)
        return frames, round(length_s * fps), fps, read_sound(content, self.limits, part)

    def _progress(self, of: int) -> Callable[[int], None]:
        return lambda done: self.report(done, max(done, of))


def as_asked(encoding: Encoding, form: PictureForm) -> Encoding:
    """How pictures are written where their node says how."""
    return replace(
        encoding,
        format="jpeg" if form.extension == "jpg" else form.extension,
        quality=form.quality,
        lossless=form.lossless,
        dpi=form.dpi,
        text=encoding.text if form.with_metadata else {},
    )


def as_array(values: Any) -> npt.NDArray[np.float32]:
    """Pixels or samples in host memory, whether they come as a tensor or as an array."""
    tensor = values.detach().float().cpu() if hasattr(values, "detach") else values
    return np.asarray(tensor, np.float32)


def frames_of(pixels: npt.NDArray[np.float32]) -> Iterator[Pixels]:
    """Pictures [B, H, W, C] as frames, one by one."""
    return (to_bytes_per_channel(picture) for picture in pixels)


def sound_of(audio: Audio) -> Sound:
    """The first of a batch of sounds."""
    return Sound(as_array(audio.waveform)[0], audio.sample_rate)


def part_of_sound(sound: Sound, part: Part) -> Sound:
    """A stretch of sound."""
    samples = sound.samples[:, round(part.start_s * sound.sample_rate) :]
    if part.duration_s is not None:
        samples = samples[:, : round(part.duration_s * sound.sample_rate)]
    return Sound(samples, sound.sample_rate)
