"""IP-Adapter that takes one thing of a picture and goes away from the other: style, composition."""

from typing import Annotated

from graph.image_prompts import Combining, ImageUse, Pictures, Scaling
from graph.node import Widget, node
from graph.nodes.ip_adapter import Applied, Weight, When, apply_image_prompt
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.values import ClipVision, Image, IpAdapter, Mask, Model

Boost = Annotated[float, Widget(min=-5, max=5, step=0.05)]


def precise_style(name: str, display_name: str, *, per_picture: bool) -> Applied:
    """The node of that name; with `per_picture` every picture of a batch goes by its own."""

    @node(name, runs_on=Stage.ENCODE, display_name=display_name, category="ipadapter", costly=True)
    async def apply_style(
        encoders: ImagePrompting,
        *,
        model: Model,
        ipadapter: IpAdapter,
        image: Image,
        weight: Weight = 1.0,
        style_boost: Boost = 1.0,
        combine_embeds: Combining,
        start_at: When = 0.0,
        end_at: When = 1.0,
        embeds_scaling: Scaling,
        image_negative: Image | None = None,
        attn_mask: Mask | None = None,
        clip_vision: ClipVision | None = None,
    ) -> Model:
        """Take the style of pictures and no more."""
        use = ImageUse(
            weight=weight,
            weight_type="style transfer precise",
            boost=style_boost,
            start_percent=start_at,
            end_percent=end_at,
            scaling=embeds_scaling,
            mask=attn_mask,
            per_picture=per_picture,
        )
        seen = Pictures(image, image_negative, combining=combine_embeds)
        return await apply_image_prompt(
            encoders, model, seen, use, ipadapter=ipadapter, clip_vision=clip_vision
        )

    return apply_style


def precise_composition(name: str, display_name: str, *, per_picture: bool) -> Applied:
    """As `precise_style`."""

    @node(name, runs_on=Stage.ENCODE, display_name=display_name, category="ipadapter", costly=True)
    async def apply_composition(
        encoders: ImagePrompting,
        *,
        model: Model,
        ipadapter: IpAdapter,
        image: Image,
        weight: Weight = 1.0,
        composition_boost: Boost = 0.0,
        combine_embeds: Combining,
        start_at: When = 0.0,
        end_at: When = 1.0,
        embeds_scaling: Scaling,
        image_negative: Image | None = None,
        attn_mask: Mask | None = None,
        clip_vision: ClipVision | None = None,
    ) -> Model:
        """Take the composition of pictures and no more."""
        use = ImageUse(
            weight=weight,
            weight_type="composition precise",
            boost=composition_boost,
            start_percent=start_at,
            end_percent=end_at,
            scaling=embeds_scaling,
            mask=attn_mask,
            per_picture=per_picture,
        )
        seen = Pictures(image, image_negative, combining=combine_embeds)
        return await apply_image_prompt(
            encoders, model, seen, use, ipadapter=ipadapter, clip_vision=clip_vision
        )

    return apply_composition


apply_style = precise_style(
    "IPAdapterPreciseStyleTransfer", "IPAdapter Precise Style Transfer", per_picture=False
)
apply_style_of_batch = precise_style(
    "IPAdapterPreciseStyleTransferBatch", "IPAdapter Precise Style Transfer Batch", per_picture=True
)
apply_composition = precise_composition(
    "IPAdapterPreciseComposition", "IPAdapter Precise Composition", per_picture=False
)
apply_composition_of_batch = precise_composition(
    "IPAdapterPreciseCompositionBatch", "IPAdapter Precise Composition Batch", per_picture=True
)
