"""Models and text encoders merged: whose weights, and in which shares.

Nodes only describe; the replica that loads the models computes (diffusion/lora/merging.py).
"""

from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from graph.node import NODE, Widget, node
from graph.stages import Stage
from graph.values import Clip, Model

CATEGORY = "advanced/model_merging"
NEWER = "model/merging/model specific"
Ratio = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Multiplier = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)]


@node("ModelMergeSimple", runs_on=Stage.INLINE, category=CATEGORY)
def merge_models(*, model1: Model, model2: Model, ratio: Ratio = 1.0) -> Model:
    """Mix two models, with so much of the first."""
    return model1.changed("merge", other=model2, shares=(("", ratio, 1.0 - ratio),))


@node("ModelMergeSubtract", runs_on=Stage.INLINE, category=CATEGORY)
def subtract_models(*, model1: Model, model2: Model, multiplier: Multiplier = 1.0) -> Model:
    """Take a model away from another."""
    return model1.changed("merge", other=model2, shares=(("", multiplier, -multiplier),))


@node("ModelMergeAdd", runs_on=Stage.INLINE, category=CATEGORY)
def add_models(*, model1: Model, model2: Model) -> Model:
    """Add two models, of which one is a difference."""
    return model1.changed("merge", other=model2, shares=(("", 1.0, 1.0),))


def merge_by_blocks(*, model1: Model, model2: Model, **ratios: float) -> Model:
    """Mix two models, with so much of the first in each block. The first ratio is for all else."""
    shares = tuple((start, ratio, 1.0 - ratio) for start, ratio in ratios.items())
    (_, own, other), *_ = shares
    return model1.changed("merge", other=model2, shares=(("", own, other), *shares))


@node("ModelMergeBlocks", runs_on=Stage.INLINE, category=CATEGORY)
def merge_three_blocks(
    *,
    model1: Model,
    model2: Model,
    input: Ratio = 1.0,
    middle: Ratio = 1.0,
    out: Ratio = 1.0,
) -> Model:
    """Mix two models, with so much of the first in each third."""
    return merge_by_blocks(model1=model1, model2=model2, input=input, middle=middle, out=out)


def declare_by_blocks(
    name: str, *starts: str, category: str = f"{CATEGORY}/model_specific"
) -> None:
    """Declare `merge_by_blocks` with a ratio for each start of a weight's name.

    Such names are no Python names, so they cannot be read off a signature.
    """
    (simple,) = getattr(merge_models, NODE)
    ratio = simple.inputs["ratio"]
    inputs = {model: simple.inputs[model] for model in ("model1", "model2")}
    inputs |= {start: replace(ratio, name=start) for start in starts}
    declared = replace(
        simple,
        name=name,
        function=merge_by_blocks,
        inputs=MappingProxyType(inputs),
        category=category,
        description="Mix two models, with so much of the first in each block.",
    )
    setattr(merge_by_blocks, NODE, (*getattr(merge_by_blocks, NODE, ()), declared))


SD1_BLOCKS = (
    "time_embed.",
    "label_emb.",
    *(f"input_blocks.{i}." for i in range(12)),
    *(f"middle_block.{i}." for i in range(3)),
    *(f"output_blocks.{i}." for i in range(12)),
    "out.",
)
SDXL_BLOCKS = (
    "time_embed.",
    "label_emb.",
    *(f"input_blocks.{i}" for i in range(9)),
    *(f"middle_block.{i}" for i in range(3)),
    *(f"output_blocks.{i}" for i in range(9)),
    "out.",
)
FLUX_BLOCKS = (
    "img_in.",
    "time_in.",
    "guidance_in",
    "vector_in.",
    "txt_in.",
    *(f"double_blocks.{i}." for i in range(19)),
    *(f"single_blocks.{i}." for i in range(38)),
    "final_layer.",
)
LTX_BLOCKS = (
    "patchify_proj.",
    "adaln_single.",
    "caption_projection.",
    *(f"transformer_blocks.{i}." for i in range(28)),
    "scale_shift_table",
    "proj_out.",
)
WAN_BLOCKS = (
    "patch_embedding.",
    "time_embedding.",
    "time_projection.",
    "text_embedding.",
    "img_emb.",
    *(f"blocks.{i}." for i in range(40)),
    "head.",
)
QWEN_BLOCKS = (
    "pos_embeds.",
    "img_in.",
    "txt_norm.",
    "txt_in.",
    "time_text_embed.",
    *(f"transformer_blocks.{i}." for i in range(60)),
    "proj_out.",
)


def sd3_blocks(depth: int) -> tuple[str, ...]:
    """The starts of weights' names in a transformer of so many blocks."""
    embedders = ("pos_embed.", "x_embedder.", "context_embedder.", "y_embedder.", "t_embedder.")
    return (*embedders, *(f"joint_blocks.{i}." for i in range(depth)), "final_layer.")


declare_by_blocks("ModelMergeSD1", *SD1_BLOCKS)
declare_by_blocks("ModelMergeSD2", *SD1_BLOCKS)
declare_by_blocks("ModelMergeSDXL", *SDXL_BLOCKS)
declare_by_blocks("ModelMergeSD3_2B", *sd3_blocks(24))
declare_by_blocks("ModelMergeSD35_Large", *sd3_blocks(38))
declare_by_blocks("ModelMergeFlux1", *FLUX_BLOCKS)
declare_by_blocks("ModelMergeLTXV", *LTX_BLOCKS, category=NEWER)
declare_by_blocks("ModelMergeWAN2_1", *WAN_BLOCKS, category=NEWER)
declare_by_blocks("ModelMergeQwenImage", *QWEN_BLOCKS, category=NEWER)


@node("CLIPMergeSimple", runs_on=Stage.INLINE, category=CATEGORY)
def merge_clips(*, clip1: Clip, clip2: Clip, ratio: Ratio = 1.0) -> Clip:
    """Mix two text encoders, with so much of the first."""
    return clip1.changed("merge", other=clip2, shares=(("", ratio, 1.0 - ratio),))


@node("CLIPMergeSubtract", runs_on=Stage.INLINE, category=CATEGORY)
def subtract_clips(*, clip1: Clip, clip2: Clip, multiplier: Multiplier = 1.0) -> Clip:
    """Take a text encoder away from another."""
    return clip1.changed("merge", other=clip2, shares=(("", multiplier, -multiplier),))


@node("CLIPMergeAdd", runs_on=Stage.INLINE, category=CATEGORY)
def add_clips(*, clip1: Clip, clip2: Clip) -> Clip:
    """Add two text encoders, of which one is a difference."""
    return clip1.changed("merge", other=clip2, shares=(("", 1.0, 1.0),))
