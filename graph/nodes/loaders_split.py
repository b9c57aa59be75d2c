"""Models whose parts lie in files of their own: the network, the text encoders, the autoencoder."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal

from graph.errors import ServiceError
from graph.families import FAMILIES
from graph.node import Choices, Files, Widget, node
from graph.stages import Stage
from graph.values import Clip, Model, ModelFile

TextFile = Annotated[ModelFile, Files("text_encoders")]
WeightDtype = Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
# Where a text encoder is run is the service's to choose; workflows say it for ComfyUI.
Device = Annotated[str | None, Choices(("default", "cpu")), Widget(advanced=True)]
ONE = (
    "stable_diffusion",
    "stable_cascade",
    "sd3",
    "stable_audio",
    "mochi",
    "ltxv",
    "pixart",
    "cosmos",
    "lumina2",
    "wan",
    "hidream",
    "chroma",
    "ace",
    "omnigen2",
    "qwen_image",
    "hunyuan_image",
    "flux2",
)
TWO = ("sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image")
READ = tuple(dict.fromkeys(own.text_type for own in FAMILIES if own.served and own.text_type))


@dataclass(eq=False)
class UnsupportedTextEncoderError(ServiceError):
    """Text encoders of a family that is not served here."""

    status = 422
    code = "unsupported_text_encoder"
    template = "{node} with type {received!r} is not supported; supported are {expected}."
    node: str
    received: str
    expected: str


@node(
    "UNETLoader",
    runs_on=Stage.INLINE,
    display_name="Load Diffusion Model",
    category="advanced/loaders",
)
def load_diffusion_model(
    *,
    unet_name: Annotated[ModelFile, Files("diffusion_models")],
    weight_dtype: WeightDtype,
) -> Model:
    """Name a diffusion model with a file of its own, and the precision its weights are kept in."""
    return Model(unet_name, weight_dtype=weight_dtype)


@node("CLIPLoader", runs_on=Stage.INLINE, display_name="Load CLIP", category="advanced/loaders")
def load_clip(
    *,
    clip_name: TextFile,
    type: Annotated[str, Choices(ONE)],
    device: Device = None,  # noqa: ARG001
) -> Clip:
    """Name a text encoder with a file of its own."""
    return Clip((clip_name,), clip_kind("CLIPLoader", type, ONE))


@node("DualCLIPLoader", runs_on=Stage.INLINE, category="advanced/loaders")
def load_two_clips(
    *,
    clip_name1: TextFile,
    clip_name2: TextFile,
    type: Annotated[str, Choices(TWO)],
    device: Device = None,  # noqa: ARG001
) -> Clip:
    """Name two text encoders that are read together."""
    return Clip((clip_name1, clip_name2), clip_kind("DualCLIPLoader", type, TWO))


@node("TripleCLIPLoader", runs_on=Stage.INLINE, category="advanced/loaders")
def load_three_clips(*, clip_name1: TextFile, clip_name2: TextFile, clip_name3: TextFile) -> Clip:
    """Name the three text encoders of Stable Diffusion 3."""
    return Clip((clip_name1, clip_name2, clip_name3), "sd3")


@node("QuadrupleCLIPLoader", runs_on=Stage.INLINE, category="advanced/loaders")
def load_four_clips(
    *,
    clip_name1: TextFile,  # noqa: ARG001
    clip_name2: TextFile,  # noqa: ARG001
    clip_name3: TextFile,  # noqa: ARG001
    clip_name4: TextFile,  # noqa: ARG001
) -> Clip:
    """Refuse the four text encoders of HiDream, which is not served here."""
    raise UnsupportedTextEncoderError("QuadrupleCLIPLoader", "hidream", "none")


def clip_kind(loader: str, kind: str, offered: Collection[str]) -> str:
    """The family that files are read as."""
    supported = [name for name in READ if name in offered]
    if kind not in supported:
        raise UnsupportedTextEncoderError(loader, kind, ", ".join(supported))
    return kind
