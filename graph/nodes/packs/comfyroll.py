"""Comfyroll: stacks of LoRAs, and a seed."""

from typing import Annotated, Any, Literal, TypeAlias, TypedDict, Unpack

from graph.node import Default, Files, Widget, node
from graph.nodes.loras import load_lora
from graph.stages import Stage
from graph.values import Clip, Link, Model, ModelFile

CATEGORY = "🧩 Comfyroll Studio/✨ Essential/💊 LoRA"
HELP = "Three LoRAs with their weights; what is Off or None is left out."
LoraStack: TypeAlias = Annotated[tuple[tuple[ModelFile, float, float], ...], Link("LORA_STACK")]
Switch = Literal["Off", "On"]
LoraName = Annotated[ModelFile, Files("loras", also=("None",))]
Weight = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01), Default(1.0)]


class Loras(TypedDict):
    switch_1: Switch
    lora_name_1: LoraName
    model_weight_1: Weight
    clip_weight_1: Weight
    switch_2: Switch
    lora_name_2: LoraName
    model_weight_2: Weight
    clip_weight_2: Weight
    switch_3: Switch
    lora_name_3: LoraName
    model_weight_3: Weight
    clip_weight_3: Weight
    lora_stack: LoraStack | None


@node(
    "CR LoRA Stack",
    runs_on=Stage.INLINE,
    display_name="💊 CR LoRA Stack",
    category=CATEGORY,
    outputs=("LORA_STACK", "show_help"),
)
def stack_loras(**loras: Unpack[Loras]) -> tuple[LoraStack, str]:
    """Put up to three LoRAs on a stack, over those of another."""
    given: dict[str, Any] = dict(loras)
    new = (
        (given[f"lora_name_{k}"], given[f"model_weight_{k}"], given[f"clip_weight_{k}"])
        for k in (1, 2, 3)
        if given[f"switch_{k}"] == "On" and given[f"lora_name_{k}"] != "None"
    )
    return (*(given.get("lora_stack") or ()), *new), HELP


@node(
    "CR Apply LoRA Stack",
    runs_on=Stage.INLINE,
    display_name="💊 CR Apply LoRA Stack",
    category=CATEGORY,
    outputs=("MODEL", "CLIP", "show_help"),
)
def apply_stack(*, model: Model, clip: Clip, lora_stack: LoraStack) -> tuple[Model, Clip, str]:
    """Name the LoRAs of a stack on a model and its text encoder."""
    for file, of_model, of_clip in lora_stack:
        model, clip = load_lora(
            model=model,
            clip=clip,
            lora_name=file,
            strength_model=of_model,
            strength_clip=of_clip,
        )
    return model, clip, HELP


@node(
    "CR Seed",
    runs_on=Stage.INLINE,
    display_name="🌱 CR Seed",
    category="🧩 Comfyroll Studio/✨ Essential",
    outputs=("seed", "show_help"),
)
def seed(
    *, seed: Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)] = 0
) -> tuple[int, str]:
    """Give a seed."""
    return seed, "A seed."
