"""LoRA loaders: which file is applied to a model and its text encoder, and how strongly."""

from typing import Annotated

from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.values import Clip, Model, ModelFile

LoraName = Annotated[ModelFile, Files("loras")]
Strength = Annotated[float, Widget(min=-100.0, max=100.0, step=0.01)]


@node("LoraLoader", runs_on=Stage.INLINE, display_name="Load LoRA", category="loaders")
def load_lora(
    *,
    model: Model,
    clip: Clip,
    lora_name: LoraName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
) -> tuple[Model, Clip]:
    """Name a LoRA on a model and its text encoder."""
    changed = load_lora_model_only(model=model, lora_name=lora_name, strength_model=strength_model)
    if strength_clip == 0:
        return changed, clip
    return changed, clip.changed("lora", file=lora_name, strength=strength_clip)


@node("LoraLoaderModelOnly", runs_on=Stage.INLINE, category="loaders")
def load_lora_model_only(
    *, model: Model, lora_name: LoraName, strength_model: Strength = 1.0
) -> Model:
    """Name a LoRA on a model. At strength 0 it is not there."""
    if strength_model == 0:
        return model
    return model.changed("lora", file=lora_name, strength=strength_model)
