"""Encodes pictures as a video or an animation for VideoHelperSuite's VHS_VideoCombine.

The first picture is a PNG beside it that has the workflow, as the pack writes it; here it is the
file's poster.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice, repeat

import numpy as np
import numpy.typing as npt

from graph.new_files import NewFile
from graph.stages.output import Combining
from media.limits import MediaNotWritableError
from media.reading import Pixels, Sound
from media.video_files import sound_of_length, video_file
from media.video_formats import COMBINED_AS, VideoFormat
from media.writing import as_rate
from storage.animations import Animation
from storage.encoded_files import animation_file
from storage.pictures import Encoding, encode_picture, to_bytes_per_channel


def combined_file(
    pixels: npt.NDArray[np.float32],
    sound: Sound | None,
    prefix: str,
    how: Combining,
    *,
    text: Mapping[str, str],
    progress: Callable[[int], None],
) -> NewFile:
    """Pictures [B, H, W, C] as one file.

    Raises:
        MediaNotWritableError: an unknown format, or what it cannot hold.
    """
    if len(pixels) == 0:
        raise MediaNotWritableError(how.format, "there are no frames")
    order = list(range(len(pixels)))
    if how.pingpong:
        order += order[-2:0:-1]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {**text, "CreationTime": json.dumps(created)} if how.with_metadata else {}
    first_png = encode_picture(pixels[0], Encoding(text=tags))
    if how.format.startswith("image/"):
        file = _animation(pixels[order], prefix, how, text if how.with_metadata else {})
    else:
        file = _video(pixels, order, sound, prefix, how=how, tags=tags, progress=progress)
    return replace(
        file,
        temporary=not how.saved,
        tail="-audio" if file.type == "video" and sound is not None else "",
        facts={**file.facts, "format": how.format, "frame_rate": how.frame_rate},
        poster=first_png,
        poster_tail=".png",
    )


def _animation(
    pixels: npt.NDArray[np.float32], prefix: str, how: Combining, text: Mapping[str, str]
) -> NewFile:
    kind = how.format.partition("/")[2]
    if kind == "gif":
        animation = Animation("gif", how.frame_rate, loops=how.loop_count, rounded=True)
    elif kind == "webp":
        animation = Animation(
            "webp", how.frame_rate, loops=how.loop_count, lossless=how.lossless, rounded=True
        )
    else:
        raise MediaNotWritableError(how.format, "no such format is served")
    file = animation_file(pixels, prefix, animation, text)
    count = len(pixels)
    facts = {"frames": count, "duration_s": round(count / how.frame_rate, 3)}
    return replace(file, facts=facts)


def _video(
    pixels: npt.NDArray[np.float32],
    order: list[int],
    sound: Sound | None,
    prefix: str,
    *,
    how: Combining,
    tags: Mapping[str, str],
    progress: Callable[[int], None],
) -> NewFile:
    format_ = _format(how)
    rate = as_rate(how.frame_rate)
    shown = chain.from_iterable(repeat(order, how.loop_count + 1))
    count = len(order) * (how.loop_count + 1)
    if sound is not None and how.trim_to_audio:
        length_s = sound.samples.shape[1] / sound.sample_rate
        count = max(1, min(count, math.ceil(length_s * rate)))
    if sound is not None:
        sound = sound_of_length(sound, float(count / rate))
    frames = _frames(pixels, islice(shown, count))
    return video_file(frames, prefix, format_, rate, sound=sound, tags=tags, progress=progress)


def _frames(pixels: npt.NDArray[np.float32], order: Iterator[int]) -> Iterator[Pixels]:
    return (to_bytes_per_channel(pixels[k][..., :3]) for k in order)


def _format(how: Combining) -> VideoFormat:
    found = COMBINED_AS.get(how.format)
    if found is None:
        raise MediaNotWritableError(how.format, "no such format is served")
    if how.crf is not None and "crf" in found.options:
        found = found.with_options(crf=str(how.crf))
    if how.profile and found.codec == "prores_ks":
        found = found.with_options(profile=how.profile)
    return replace(found, pixel_format=how.pixel_format) if how.pixel_format else found
