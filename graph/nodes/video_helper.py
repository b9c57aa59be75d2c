"""VideoHelperSuite's nodes for whole videos: loaded, told of, and made of pictures."""

import re
from typing import Annotated, Literal

from graph.node import MayBeAbsent, Upload, Widget, node
from graph.nodes.audio import MaybeAudio
from graph.stages import Stage
from graph.stages.image import ImageFunctions
from graph.stages.media import Media
from graph.stages.output import Combining, OutputFunctions
from graph.values import Audio, FileNames, Image, InputFile, Mask, VideoInfo

CATEGORY = "Video Helper Suite 🎥🅥🅗🅢"
FARTHEST = 2**53 - 1
SIDE = re.compile("[1-9][0-9]{0,3}")
VideoFile = Annotated[InputFile, Upload("video")]
AudioFile = Annotated[InputFile, Upload("audio")]
Rate = Annotated[float, Widget(min=0, max=60, step=1)]
Side = Annotated[int, Widget(min=0, max=8192)]
Count = Annotated[int, Widget(min=0, max=FARTHEST, step=1)]
Every = Annotated[int, Widget(min=1, max=FARTHEST, step=1)]
Seconds = Annotated[float, Widget(min=0, max=10_000_000, step=0.01)]
Format = Literal[
    "image/gif",
    "image/webp",
    "video/av1-webm",
    "video/ffv1-mkv",
    "video/h264-mp4",
    "video/h265-mp4",
    "video/nvenc_av1-mp4",
    "video/nvenc_h264-mp4",
    "video/nvenc_hevc-mp4",
    "video/ProRes",
    "video/webm",
]
VIDEO_OUTPUTS = ("IMAGE", "frame_count", "audio", "video_info")
INFO = ("fps", "frame_count", "duration", "width", "height")


@node(
    "VHS_LoadVideo",
    runs_on=Stage.IMAGE,
    display_name="Load Video (Upload) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=VIDEO_OUTPUTS,
)
@node(
    "VHS_LoadVideoPath",
    runs_on=Stage.IMAGE,
    display_name="Load Video (Path) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=VIDEO_OUTPUTS,
)
def load_video(
    media: Media,
    *,
    video: VideoFile,
    force_rate: Rate = 0.0,
    custom_width: Annotated[Side, MayBeAbsent()] = 0,
    custom_height: Annotated[Side, MayBeAbsent()] = 0,
    frame_load_cap: Count = 0,
    skip_first_frames: Count = 0,
    select_every_nth: Every = 1,
    force_size: Annotated[str, MayBeAbsent()] = "Disabled",
    format: Annotated[str, MayBeAbsent()] = "AnimateDiff",  # noqa: ARG001 - what sizes are offered
) -> tuple[Image, int, MaybeAudio, VideoInfo]:
    """Read frames and sound of a video; its path is an upload's name, a URL or a `job:` output."""
    images, audio, info = media.chosen_frames(
        video,
        fps=force_rate,
        size=_forced(force_size) or (custom_width, custom_height),
        most=frame_load_cap,
        skip=skip_first_frames,
        every=select_every_nth,
    )
    return images, info.loaded[1], audio, info


@node(
    "VHS_LoadVideoFFmpeg",
    runs_on=Stage.IMAGE,
    display_name="Load Video FFmpeg (Upload) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=("IMAGE", "mask", "audio", "video_info"),
)
@node(
    "VHS_LoadVideoFFmpegPath",
    runs_on=Stage.IMAGE,
    display_name="Load Video FFmpeg (Path) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=("IMAGE", "mask", "audio", "video_info"),
)
def load_video_ffmpeg(
    functions: ImageFunctions,
    *,
    video: VideoFile,
    force_rate: Rate = 0.0,
    custom_width: Side = 0,
    custom_height: Side = 0,
    frame_load_cap: Count = 0,
    start_time: Seconds = 0.0,
    format: Annotated[str, MayBeAbsent()] = "AnimateDiff",  # noqa: ARG001
) -> tuple[Image, Mask, MaybeAudio, VideoInfo]:
    """Read frames and sound of a video from a time on; the mask is that of an opaque picture."""
    images, audio, info = functions.chosen_frames(
        video,
        fps=force_rate,
        size=(custom_width, custom_height),
        most=frame_load_cap,
        skip=0,
        every=1,
        start_s=start_time,
    )
    return images, functions.opaque_masks(images), audio, info


@node(
    "VHS_LoadAudio",
    runs_on=Stage.IMAGE,
    display_name="Load Audio (Path) 🎥🅥🅗🅢",
    category=f"{CATEGORY}/audio",
    outputs=("audio", "duration"),
)
def load_audio_path(
    media: Media,
    *,
    audio_file: AudioFile,
    seek_seconds: Annotated[Seconds, MayBeAbsent()] = 0.0,
    duration: Annotated[Seconds, MayBeAbsent()] = 0.0,
) -> tuple[Audio, float]:
    """Read the sound of a file."""
    return _with_length(media.decode_audio(audio_file, seek_seconds, duration))


@node(
    "VHS_LoadAudioUpload",
    runs_on=Stage.IMAGE,
    display_name="Load Audio (Upload) 🎥🅥🅗🅢",
    category=f"{CATEGORY}/audio",
    outputs=("audio", "duration"),
)
def load_audio_upload(
    media: Media,
    *,
    audio: AudioFile,
    start_time: Annotated[Seconds, MayBeAbsent()] = 0.0,
    duration: Annotated[Seconds, MayBeAbsent()] = 0.0,
) -> tuple[Audio, float]:
    """Read the sound of a file."""
    return _with_length(media.decode_audio(audio, start_time, duration))


@node(
    "VHS_VideoInfo",
    runs_on=Stage.INLINE,
    display_name="Video Info 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=(*(f"source_{name}🟨" for name in INFO), *(f"loaded_{name}🟦" for name in INFO)),
)
def video_info(
    *, video_info: VideoInfo
) -> tuple[float, int, float, int, int, float, int, float, int, int]:
    """Tell of a video in its file and as it was loaded."""
    return (*video_info.source, *video_info.loaded)


@node(
    "VHS_VideoInfoSource",
    runs_on=Stage.INLINE,
    display_name="Video Info (Source) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=tuple(f"{name}🟨" for name in INFO),
)
def video_info_source(*, video_info: VideoInfo) -> tuple[float, int, float, int, int]:
    """Tell of a video in its file."""
    return video_info.source


@node(
    "VHS_VideoInfoLoaded",
    runs_on=Stage.INLINE,
    display_name="Video Info (Loaded) 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=tuple(f"{name}🟦" for name in INFO),
)
def video_info_loaded(*, video_info: VideoInfo) -> tuple[float, int, float, int, int]:
    """Tell of a video as it was loaded."""
    return video_info.loaded


@node(
    "VHS_VideoCombine",
    runs_on=Stage.OUTPUT,
    display_name="Video Combine 🎥🅥🅗🅢",
    category=CATEGORY,
    outputs=("Filenames",),
    output_node=True,
)
async def combine_video(
    outputs: OutputFunctions,
    *,
    images: Image,
    frame_rate: Annotated[float, Widget(min=1, step=1)] = 8.0,
    loop_count: Annotated[int, Widget(min=0, max=100, step=1)] = 0,
    filename_prefix: str = "AnimateDiff",
    format: Format,
    pingpong: bool = False,
    save_output: bool = True,
    audio: Audio | None = None,
    crf: Annotated[int | None, Widget(min=0, max=100, step=1)] = None,
    pix_fmt: Annotated[str, MayBeAbsent()] = "",
    profile: Annotated[str, MayBeAbsent()] = "",
    lossless: Annotated[bool, MayBeAbsent()] = True,
    save_metadata: Annotated[bool, MayBeAbsent()] = True,
    trim_to_audio: Annotated[bool, MayBeAbsent()] = False,
) -> FileNames:
    """Make a video or an animation of pictures."""
    how = Combining(
        format=format,
        frame_rate=frame_rate,
        loop_count=loop_count,
        pingpong=pingpong,
        saved=save_output,
        with_metadata=save_metadata,
        trim_to_audio=trim_to_audio,
        lossless=lossless,
        crf=crf,
        pixel_format=pix_fmt,
        profile=profile,
    )
    return await outputs.combine_video(images, audio, filename_prefix, how)


@node(
    "VHS_PruneOutputs",
    runs_on=Stage.INLINE,
    display_name="Prune Outputs 🎥🅥🅗🅢",
    category=CATEGORY,
    output_node=True,
)
def prune_outputs(
    *,
    filenames: FileNames,
    options: Literal["Intermediate", "Intermediate and Utility"],
) -> None:
    """Remove nothing: a job has no files but those that it was asked for."""


def _with_length(audio: Audio) -> tuple[Audio, float]:
    return audio, audio.waveform.shape[-1] / audio.sample_rate


def _forced(size: str) -> tuple[int, int] | None:
    """What older workflows say of the size: "256x?", "?x512", "512x512"; None: nothing."""
    width, by, height = size.partition("x")
    if not by or not all(side == "?" or SIDE.fullmatch(side) for side in (width, height)):
        return None
    return (0 if width == "?" else int(width), 0 if height == "?" else int(height))
