"""Conditionings: joining, mixing, areas, time ranges and strengths."""

from typing import Annotated, Literal

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.encode import TextEncoding
from graph.stages.sample import Conditionings
from graph.values import Clip, Conditioning, Mask

Strength = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
Side = Annotated[int, Widget(min=64, max=16384, step=8)]
Offset = Annotated[int, Widget(min=0, max=16384, step=8)]
Part = Annotated[float, Widget(min=0, max=1.0, step=0.01)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Pixels = Annotated[int, Widget(min=0, max=16384)]
Prompt = Annotated[str, Widget(multiline=True, dynamicPrompts=True)]


@node(
    "ConditioningCombine",
    runs_on=Stage.SAMPLE,
    display_name="Conditioning (Combine)",
    category="conditioning",
)
def combine_conditionings(
    stage: Conditionings, *, conditioning_1: Conditioning, conditioning_2: Conditioning
) -> Conditioning:
    """Follow two prompts at once, each with a prediction of its own."""
    return stage.combine_conditionings(conditioning_1, conditioning_2)


@node(
    "ConditioningConcat",
    runs_on=Stage.SAMPLE,
    display_name="Conditioning (Concat)",
    category="conditioning",
)
def concat_conditionings(
    stage: Conditionings, *, conditioning_to: Conditioning, conditioning_from: Conditioning
) -> Conditioning:
    """Put the tokens of a prompt after those of another."""
    return stage.concat_conditionings(conditioning_to, conditioning_from)


@node("ConditioningAverage", runs_on=Stage.SAMPLE, category="conditioning")
def average_conditionings(
    stage: Conditionings,
    *,
    conditioning_to: Conditioning,
    conditioning_from: Conditioning,
    conditioning_to_strength: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> Conditioning:
    """Mix two prompts token by token."""
    return stage.average_conditionings(conditioning_to, conditioning_from, conditioning_to_strength)


@node(
    "ConditioningSetArea",
    runs_on=Stage.SAMPLE,
    display_name="Conditioning (Set Area)",
    category="conditioning",
)
def set_area(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    width: Side = 64,
    height: Side = 64,
    x: Offset = 0,
    y: Offset = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Follow a prompt in a rectangle."""
    return stage.set_area(conditioning, width=width, height=height, x=x, y=y, strength=strength)


@node(
    "ConditioningSetAreaPercentage",
    runs_on=Stage.SAMPLE,
    display_name="Conditioning (Set Area with Percentage)",
    category="conditioning",
)
def set_area_percentage(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    width: Part = 1.0,
    height: Part = 1.0,
    x: Part = 0,
    y: Part = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Follow a prompt in a rectangle said in parts of the picture."""
    return stage.set_area_percentage(
        conditioning, width=width, height=height, x=x, y=y, strength=strength
    )


@node("ConditioningSetAreaStrength", runs_on=Stage.SAMPLE, category="conditioning")
def set_strength(
    stage: Conditionings, *, conditioning: Conditioning, strength: Strength = 1.0
) -> Conditioning:
    """Say how much a prompt counts among several."""
    return stage.set_strength(conditioning, strength)


@node(
    "ConditioningSetMask",
    runs_on=Stage.SAMPLE,
    display_name="Conditioning (Set Mask)",
    category="conditioning",
)
def set_mask(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    mask: Mask,
    strength: Strength = 1.0,
    set_cond_area: Literal["default", "mask bounds"],
) -> Conditioning:
    """Follow a prompt where a mask is."""
    return stage.set_mask(conditioning, mask, strength, bounds=set_cond_area == "mask bounds")


@node(
    "ConditioningSetTimestepRange",
    runs_on=Stage.SAMPLE,
    category="advanced/conditioning",
)
def set_timestep_range(
    stage: Conditionings, *, conditioning: Conditioning, start: When = 0.0, end: When = 1.0
) -> Conditioning:
    """Follow a prompt for a part of the way from noise to picture."""
    return stage.set_timestep_range(conditioning, start, end)


@node(
    "LotusConditioning",
    runs_on=Stage.SAMPLE,
    category="model/conditioning/lotus",
    outputs=("conditioning",),
)
def lotus_prompt(stage: Conditionings) -> Conditioning:
    """Tell Lotus the one prompt that it knows."""
    return stage.empty_prompt()


@node("ConditioningZeroOut", runs_on=Stage.SAMPLE, category="advanced/conditioning")
def zero_out(stage: Conditionings, *, conditioning: Conditioning) -> Conditioning:
    """Replace a prompt by zeros."""
    return stage.zero_out(conditioning)


@node(
    "CLIPTextEncodeSDXL",
    runs_on=Stage.ENCODE,
    category="advanced/conditioning",
    costly=True,
)
async def encode_sdxl(
    encoders: TextEncoding,
    *,
    clip: Clip,
    width: Pixels = 1024,
    height: Pixels = 1024,
    crop_w: Pixels = 0,
    crop_h: Pixels = 0,
    target_width: Pixels = 1024,
    target_height: Pixels = 1024,
    text_g: Prompt,
    text_l: Prompt,
) -> Conditioning:
    """Encode a prompt for each of SDXL's text encoders, and the sizes that SDXL is told."""
    sizes = {
        "width": width,
        "height": height,
        "crop_w": crop_w,
        "crop_h": crop_h,
        "target_width": target_width,
        "target_height": target_height,
    }
    return await encoders.encode_sdxl(clip, text_g=text_g, text_l=text_l, sizes=sizes)


@node(
    "CLIPTextEncodeSDXLRefiner",
    runs_on=Stage.ENCODE,
    category="advanced/conditioning",
    costly=True,
)
async def encode_sdxl_refiner(
    encoders: TextEncoding,
    *,
    ascore: Annotated[float, Widget(min=0.0, max=1000.0, step=0.01)] = 6.0,
    width: Pixels = 1024,
    height: Pixels = 1024,
    text: Prompt,
    clip: Clip,
) -> Conditioning:
    """Encode a prompt for SDXL's refiner, with the score it shall aim at."""
    return await encoders.encode_sdxl_refiner(
        clip, text=text, ascore=ascore, width=width, height=height
    )
