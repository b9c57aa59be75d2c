"""Output nodes that save video and sound."""

from typing import Annotated, Literal

from graph.node import Hidden, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Audio, Image, Video

Prompt = Annotated[object, Hidden.PROMPT]  # `outputs` has both
PngInfo = Annotated[object, Hidden.EXTRA_PNGINFO]
Container = Literal["auto", "mp4", "mkv", "webm"]
Codec = Annotated[Literal["auto", "h264", "av1"], MayBeAbsent()]


@node(
    "SaveVideo",
    runs_on=Stage.OUTPUT,
    display_name="Save Video",
    category="video",
    output_node=True,
)
async def save_video(
    outputs: OutputFunctions,
    *,
    video: Video,
    filename_prefix: str = "video/ComfyUI",
    format: Container = "auto",
    codec: Codec = "auto",
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Keep a video; one from a file is copied and not encoded again, where that may be."""
    await outputs.save_video(video, filename_prefix, format, codec)


@node(
    "SaveWEBM",
    runs_on=Stage.OUTPUT,
    display_name="Save WEBM",
    category="video",
    output_node=True,
    experimental=True,
)
async def save_webm(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: str = "ComfyUI",
    codec: Literal["vp9", "av1"],
    fps: Annotated[float, Widget(min=0.01, max=1000.0, step=0.01)] = 24.0,
    crf: Annotated[float, Widget(min=0, max=63.0, step=1)] = 32.0,
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Keep pictures as a WebM video."""
    await outputs.save_webm(images, filename_prefix, codec=codec, fps=fps, crf=crf)


@node(
    "SaveAudio",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (FLAC)",
    category="audio",
    output_node=True,
)
async def save_audio(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: str = "audio/ComfyUI",
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Keep sound as FLAC."""
    await outputs.save_audio(audio, filename_prefix, kind="flac")


@node(
    "SaveAudioMP3",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (MP3)",
    category="audio",
    output_node=True,
)
async def save_audio_mp3(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: str = "audio/ComfyUI",
    quality: Literal["V0", "128k", "320k"] = "V0",
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Keep sound as MP3."""
    await outputs.save_audio(audio, filename_prefix, kind="mp3", quality=quality)


@node(
    "SaveAudioOpus",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (Opus)",
    category="audio",
    output_node=True,
)
async def save_audio_opus(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: str = "audio/ComfyUI",
    quality: Literal["64k", "96k", "128k", "192k", "320k"] = "128k",
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Keep sound as Opus."""
    await outputs.save_audio(audio, filename_prefix, kind="opus", quality=quality)


@node(
    "PreviewAudio",
    runs_on=Stage.OUTPUT,
    display_name="Preview Audio",
    category="audio",
    output_node=True,
)
async def preview_audio(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    prompt: Prompt = None,  # noqa: ARG001
    extra_pnginfo: PngInfo = None,  # noqa: ARG001
) -> None:
    """Let hear sound without keeping it for long."""
    await outputs.save_audio(audio, "ComfyUI", kind="flac", temporary=True)
