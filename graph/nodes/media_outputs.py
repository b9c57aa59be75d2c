"""Output nodes that save video and sound."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from graph.dynamic_inputs import Option, Options
from graph.errors import ColorsNotServedError
from graph.node import DYNAMIC_COMBO, Input, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Audio, Image, Video

FileName = Annotated[str, Widget(multiline=False)]
WebmCodec = Annotated[Literal["vp9", "av1"], Widget(multiselect=False)]


def encodings(crf: float, most: float) -> Options:
    """How a codec is set up, in ComfyUI's nested combos."""
    quality = Input("crf", "FLOAT", default=crf, widget=Widget(min=0.0, max=most, step=1.0))
    colors = Input(
        "color_space",
        "COMBO",
        default="auto",
        choices=("auto", "sRGB", "HDR", "HDR PQ"),
        widget=Widget(multiselect=False, display_name="color space"),
    )
    anew = Option("re-encode", {"crf": quality, "color_space": colors})
    return Options((Option("auto", {}), anew))


def encoding(crf: float, most: float) -> Mapping[str, Input]:
    """The input of a codec that sets it up."""
    widget = Widget(display_name="encoding mode")
    options = encodings(crf, most)
    return {
        "encoding": Input("encoding", DYNAMIC_COMBO, required=False, options=options, widget=widget)
    }


AUTO = Option("auto", {})
H264, AV1 = Option("h264", encoding(23.0, 51.0)), Option("av1", encoding(30.0, 63.0))
ANY_CODEC, WEBM_CODEC = Options((AUTO, H264, AV1)), Options((AUTO, AV1))


def with_codec(name: str, codecs: Options) -> Option:
    """A container and the codecs that it holds; older workflows name a codec beside it."""
    codec = Input("codec", DYNAMIC_COMBO, options=codecs, may_be_left_out=True)
    return Option(name, {"codec": codec})


CONTAINERS = Options(
    (
        *(with_codec(name, ANY_CODEC) for name in ("auto", "mp4", "mkv")),
        with_codec("webm", WEBM_CODEC),
    )
)
Codec = Annotated[Any, ANY_CODEC, MayBeAbsent(), Widget(hidden=True)]


@node(
    "SaveVideo",
    runs_on=Stage.OUTPUT,
    display_name="Save Video",
    category="video",
    output_node=True,
    outputs=("video",),
)
async def save_video(
    outputs: OutputFunctions,
    *,
    video: Video,
    filename_prefix: FileName = "video/ComfyUI",
    format: Annotated[Any, CONTAINERS],
    codec: Codec = None,
) -> Video:
    """Keep a video; one from a file is copied and not encoded again, where that may be."""
    chosen = format.get("codec") or codec or {"codec": "auto"}
    how = chosen.get("encoding") or {}
    if how.get("color_space", "auto") not in {"auto", "sRGB"}:
        raise ColorsNotServedError(str(how["color_space"]))
    await outputs.save_video(
        video, filename_prefix, format["format"], chosen["codec"], how.get("crf")
    )
    return video


@node(
    "SaveWEBM",
    runs_on=Stage.OUTPUT,
    display_name="Save WEBM",
    category="video",
    output_node=True,
    outputs=("images",),
)
async def save_webm(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: FileName = "ComfyUI",
    codec: WebmCodec,
    fps: Annotated[float, Widget(min=0.01, max=1000.0, step=0.01)] = 24.0,
    crf: Annotated[float, Widget(min=0, max=63.0, step=1)] = 32.0,
) -> Image:
    """Keep pictures as a WebM video."""
    await outputs.save_webm(images, filename_prefix, codec=codec, fps=fps, crf=crf)
    return images


@node(
    "SaveAudio",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (FLAC)",
    category="audio",
    output_node=True,
    outputs=("audio",),
)
async def save_audio(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: FileName = "audio/ComfyUI",
) -> Audio:
    """Keep sound as FLAC."""
    await outputs.save_audio(audio, filename_prefix, kind="flac")
    return audio


@node(
    "SaveAudioMP3",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (MP3)",
    category="audio",
    output_node=True,
    outputs=("audio",),
)
async def save_audio_mp3(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: FileName = "audio/ComfyUI",
    quality: Literal["V0", "128k", "320k"] = "V0",
) -> Audio:
    """Keep sound as MP3."""
    await outputs.save_audio(audio, filename_prefix, kind="mp3", quality=quality)
    return audio


@node(
    "SaveAudioOpus",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (Opus)",
    category="audio",
    output_node=True,
    outputs=("audio",),
)
async def save_audio_opus(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: FileName = "audio/ComfyUI",
    quality: Literal["64k", "96k", "128k", "192k", "320k"] = "128k",
) -> Audio:
    """Keep sound as Opus."""
    await outputs.save_audio(audio, filename_prefix, kind="opus", quality=quality)
    return audio


MP3 = Input("quality", "COMBO", default="V0", choices=("V0", "128k", "320k"))
OPUS = Input("quality", "COMBO", default="128k", choices=("64k", "96k", "128k", "192k", "320k"))
SOUNDS = Options(
    (Option("flac", {}), Option("mp3", {"quality": MP3}), Option("opus", {"quality": OPUS}))
)


@node(
    "SaveAudioAdvanced",
    runs_on=Stage.OUTPUT,
    display_name="Save Audio (Advanced)",
    category="audio",
    output_node=True,
    outputs=("audio",),
)
async def save_audio_as(
    outputs: OutputFunctions,
    *,
    audio: Audio,
    filename_prefix: FileName = "audio/ComfyUI",
    format: Annotated[Any, SOUNDS],
) -> Audio:
    """Keep sound as FLAC, MP3 or Opus."""
    quality = str(format.get("quality", ""))
    await outputs.save_audio(audio, filename_prefix, kind=format["format"], quality=quality)
    return audio


@node(
    "PreviewAudio",
    runs_on=Stage.OUTPUT,
    display_name="Preview Audio",
    category="audio",
    output_node=True,
    outputs=("audio",),
)
async def preview_audio(
    outputs: OutputFunctions,
    *,
    audio: Audio,
) -> Audio:
    """Let hear sound without keeping it for long."""
    await outputs.save_audio(audio, "ComfyUI", kind="flac", temporary=True)
    return audio
