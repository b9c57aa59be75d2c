"""Video: loaded, made of pictures, cut and taken apart."""

from typing import Annotated

from graph.node import MayBeAbsent, Upload, Widget, node
from graph.nodes.audio import MaybeAudio
from graph.stages import Stage
from graph.stages.media import Media
from graph.values import Audio, Image, InputFile, Link, Video

VideoFile = Annotated[InputFile, Upload("video")]
Offset = Annotated[float, Widget(min=-100_000.0, max=100_000.0, step=0.001)]


@node("LoadVideo", runs_on=Stage.IMAGE, display_name="Load Video", category="video")
def load_video(media: Media, *, file: VideoFile) -> Video:  # noqa: ARG001 - decoded where it is used
    """Name a video."""
    return Video(file=file)


@node("CreateVideo", runs_on=Stage.IMAGE, display_name="Create Video", category="video")
def create_video(
    media: Media,  # noqa: ARG001 - encoded where it is saved
    *,
    images: Image,
    fps: Annotated[float, Widget(min=1.0, max=120.0, step=1.0)] = 30.0,
    audio: Audio | None = None,
    bit_depth: Annotated[int, Widget(min=8, max=10, step=2, display="number"), MayBeAbsent()] = 8,
) -> Video:
    """Make a video of pictures."""
    return Video(frames=images, fps=fps, audio=audio, bit_depth=bit_depth)


@node(
    "GetVideoComponents",
    runs_on=Stage.IMAGE,
    display_name="Get Video Components",
    category="video",
    outputs=("images", "audio", "fps", "bit_depth", "color_space"),
)
def video_components(
    media: Media, *, video: Video
) -> tuple[Image, MaybeAudio, float, int, Annotated[str, Link("COMBO")]]:
    """Give the pictures, the sound and the frame rate of a video."""
    images, audio, fps = media.frames_and_sound(video)
    return images, audio, fps, video.bit_depth, "sRGB"


@node("Video Slice", runs_on=Stage.IMAGE, display_name="Trim Video", category="video")
def slice_video(
    media: Media,
    *,
    video: Video,
    start_time: Offset = 0.0,
    duration: Annotated[float, Widget(min=0.0, step=0.001)] = 0.0,
    strict_duration: bool = False,
) -> Video:
    """Take a stretch of a video, in seconds; a duration of 0 is all that follows."""
    return media.trim_video(video, start_time, duration, strict=strict_duration)
