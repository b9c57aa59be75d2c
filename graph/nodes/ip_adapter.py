"""IP-Adapter: models that go by pictures. The nodes of the ComfyUI_IPAdapter_plus pack."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeAlias

from graph.image_prompts import (
    WEIGHT_TYPES,
    Combining,
    ImageUse,
    InsightFace,
    Pictures,
    Scaling,
)
from graph.node import Choices, Widget, node
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.values import ClipVision, Image, IpAdapter, Mask, Model

Weight = Annotated[float, Widget(min=-1, max=5, step=0.05)]
LowWeight = Annotated[float, Widget(min=-1, max=3, step=0.05)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
WeightType = Annotated[str, Choices(WEIGHT_TYPES)]
BatchSize = Annotated[int, Widget(min=0, max=4096)]
Applied: TypeAlias = Callable[..., Awaitable[Model]]  # a node that applies an image prompt


async def apply_image_prompt(
    encoders: ImagePrompting,
    model: Model,
    pictures: Pictures,
    use: ImageUse,
    *,
    ipadapter: IpAdapter,
    clip_vision: ClipVision | None = None,
) -> Model:
    """A model that goes by pictures too."""
    prompt = await encoders.image_prompt(model, ipadapter, clip_vision, pictures, use)
    return model.changed("ip_adapter", prompt=prompt)


@node("IPAdapter", runs_on=Stage.ENCODE, category="ipadapter", costly=True)
async def apply_simply(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: LowWeight = 1.0,
    start_at: When = 0.0,
    end_at: When = 1.0,
    weight_type: Literal["standard", "prompt is more important", "style transfer"],
    attn_mask: Mask | None = None,
) -> Model:
    """Let a model go by a picture."""
    types = {"standard": "linear", "prompt is more important": "ease out"}
    use = ImageUse(
        weight=weight,
        weight_type=types.get(weight_type, weight_type),
        start_percent=start_at,
        end_percent=end_at,
        mask=attn_mask,
    )
    return await apply_image_prompt(encoders, model, Pictures(image), use, ipadapter=ipadapter)


@node(
    "IPAdapterAdvanced",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Advanced",
    category="ipadapter",
    costly=True,
)
async def apply_advanced(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: Weight = 1.0,
    weight_type: WeightType,
    combine_embeds: Combining,
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Let a model go by pictures, and away from another."""
    use = ImageUse(
        weight=weight,
        weight_type=weight_type,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
    )
    pictures = Pictures(image, image_negative, combining=combine_embeds)
    return await apply_image_prompt(
        encoders, model, pictures, use, ipadapter=ipadapter, clip_vision=clip_vision
    )


@node(
    "IPAdapterBatch",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Batch (Adv.)",
    category="ipadapter",
    costly=True,
)
async def apply_batch(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: Weight = 1.0,
    weight_type: WeightType,
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    encode_batch_size: BatchSize = 0,  # noqa: ARG001 - bounds the pack's memory; no result changes
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Let every picture of a batch go by one of its own."""
    use = ImageUse(
        weight=weight,
        weight_type=weight_type,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
        per_picture=True,
    )
    pictures = Pictures(image, image_negative)
    return await apply_image_prompt(
        encoders, model, pictures, use, ipadapter=ipadapter, clip_vision=clip_vision
    )


@node(
    "IPAdapterMS",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Mad Scientist",
    category="ipadapter/dev",
    costly=True,
)
async def apply_by_layer(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: Weight = 1.0,
    weight_faceidv2: Weight = 1.0,  # noqa: ARG001 - of FaceID adapters
    weight_type: WeightType,
    combine_embeds: Combining,
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    layer_weights: Annotated[str, Widget(multiline=True)] = "",
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
    insightface: InsightFace | None = None,  # noqa: ARG001 - of FaceID adapters
) -> Model:
    """Let a model go by pictures, with a weight for each of its transformers."""
    use = ImageUse(
        weight=weight,
        weight_type=weight_type,
        layer_weights=layer_weights,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
    )
    pictures = Pictures(image, image_negative, combining=combine_embeds)
    return await apply_image_prompt(
        encoders, model, pictures, use, ipadapter=ipadapter, clip_vision=clip_vision
    )
