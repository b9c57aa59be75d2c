"""IP-Adapter by two pictures: the style of one, the composition of another."""

from graph.image_prompts import Combining, ImageUse, Pictures, Scaling
from graph.node import node
from graph.nodes.ip_adapter import Weight, When, apply_image_prompt
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.values import ClipVision, Image, IpAdapter, Mask, Model


@node(
    "IPAdapterStyleComposition",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Style & Composition SDXL",
    category="ipadapter/style_composition",
    costly=True,
)
async def apply_style_and_composition(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image_style: Image,
    image_composition: Image,
    weight_style: Weight = 1.0,
    weight_composition: Weight = 1.0,
    expand_style: bool = False,
    combine_embeds: Combining = "average",
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Take the style of one picture and the composition of another."""
    use = ImageUse(
        weight=weight_style,
        weight_type="strong style and composition" if expand_style else "style and composition",
        weight_composition=weight_composition,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
    )
    pictures = Pictures(image_style, image_negative, image_composition, combining=combine_embeds)
    return await apply_image_prompt(
        encoders, model, pictures, use, ipadapter=ipadapter, clip_vision=clip_vision
    )


@node(
    "IPAdapterStyleCompositionBatch",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Style & Composition Batch SDXL",
    category="ipadapter/style_composition",
    costly=True,
)
async def apply_style_and_composition_of_batch(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image_style: Image,
    image_composition: Image,
    weight_style: Weight = 1.0,
    weight_composition: Weight = 1.0,
    expand_style: bool = False,
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Let every picture of a batch take the style of one and the composition of another."""
    use = ImageUse(
        weight=weight_style,
        weight_type="strong style and composition" if expand_style else "style and composition",
        weight_composition=weight_composition,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
        per_picture=True,
    )
    pictures = Pictures(image_style, image_negative, image_composition)
    return await apply_image_prompt(
        encoders, model, pictures, use, ipadapter=ipadapter, clip_vision=clip_vision
    )
