"""ComfyUI-GGUF: models and text encoders in GGUF files."""

from typing import Annotated

from graph.node import Choices, Files, node
from graph.nodes.loaders_split import ONE, TWO, clip_kind
from graph.stages import Stage
from graph.values import Clip, Model, ModelFile

CATEGORY = "bootleg"
ModelName = Annotated[ModelFile, Files("unet_gguf", lies_in="diffusion_models")]
TextName = Annotated[ModelFile, Files("clip_gguf", lies_in="text_encoders")]


@node("UnetLoaderGGUF", runs_on=Stage.INLINE, display_name="Unet Loader (GGUF)", category=CATEGORY)
def load_unet_gguf(*, unet_name: ModelName) -> Model:
    """Name a diffusion model in a GGUF file."""
    return Model(unet_name)


@node("CLIPLoaderGGUF", runs_on=Stage.INLINE, display_name="CLIPLoader (GGUF)", category=CATEGORY)
def load_clip_gguf(*, clip_name: TextName, type: Annotated[str, Choices(ONE)]) -> Clip:
    """Name a text encoder, in a GGUF file or another."""
    return Clip((clip_name,), clip_kind("CLIPLoaderGGUF", type, ONE))


@node(
    "DualCLIPLoaderGGUF",
    runs_on=Stage.INLINE,
    display_name="DualCLIPLoader (GGUF)",
    category=CATEGORY,
)
def load_two_clips_gguf(
    *, clip_name1: TextName, clip_name2: TextName, type: Annotated[str, Choices(TWO)]
) -> Clip:
    """Name two text encoders that are read together."""
    return Clip((clip_name1, clip_name2), clip_kind("DualCLIPLoaderGGUF", type, TWO))


@node(
    "TripleCLIPLoaderGGUF",
    runs_on=Stage.INLINE,
    display_name="TripleCLIPLoader (GGUF)",
    category=CATEGORY,
)
def load_three_clips_gguf(
    *, clip_name1: TextName, clip_name2: TextName, clip_name3: TextName
) -> Clip:
    """Name the three text encoders of Stable Diffusion 3."""
    return Clip((clip_name1, clip_name2, clip_name3), "sd3")
