"""Style models: prompts that go on with what is in a picture."""

from typing import Annotated, Literal

from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.encode import VisionEncoding
from graph.stages.sample import Conditionings
from graph.values import (
    ClipVisionOutput,
    Conditioning,
    Model,
    ModelFile,
    ModelPatch,
    PatchUse,
    StyleModel,
)


@node("StyleModelLoader", runs_on=Stage.INLINE, display_name="Load Style Model", category="loaders")
def load_style_model(
    *, style_model_name: Annotated[ModelFile, Files("style_models")]
) -> StyleModel:
    """Name a style model."""
    return StyleModel(style_model_name)


@node("USOStyleReference", runs_on=Stage.SAMPLE, category="model/patch/flux", experimental=True)
def refer_to_style(
    _stage: Conditionings,
    *,
    model: Model,
    model_patch: ModelPatch,
    clip_vision_output: ClipVisionOutput,
) -> Model:
    """Let Flux go by the style of a picture."""
    return model.changed("model_patch", use=PatchUse(model_patch, seen=clip_vision_output))


@node(
    "StyleModelApply",
    runs_on=Stage.ENCODE,
    display_name="Apply Style Model",
    category="conditioning/style_model",
)
async def apply_style_model(
    encoders: VisionEncoding,
    *,
    conditioning: Conditioning,
    style_model: StyleModel,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.001)] = 1.0,
    strength_type: Literal["multiply", "attn_bias"],
) -> Conditioning:
    """Let a prompt go on with what is in a picture."""
    return await encoders.apply_style(
        conditioning,
        style_model,
        clip_vision_output,
        strength=strength,
        as_bias=strength_type == "attn_bias",
    )
