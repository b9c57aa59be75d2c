"""IP-Adapter by all of a picture that is no square: each of its tiles counts where it lies."""

from dataclasses import replace
from typing import Annotated, TypeAlias

from graph.image_prompts import Combining, ImageUse, Pictures, Scaling
from graph.node import Widget, node
from graph.nodes.ip_adapter import BatchSize, LowWeight, WeightType, When, apply_image_prompt
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.values import ClipVision, Image, IpAdapter, Mask, Model

Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.05)]
Tiled: TypeAlias = tuple[Model, Image, Mask]


async def apply_in_tiles(
    encoders: ImagePrompting,
    model: Model,
    pictures: Pictures,
    use: ImageUse,
    sharpening: float,
    *,
    ipadapter: IpAdapter,
    clip_vision: ClipVision | None,
) -> Tiled:
    """A model that goes by every tile of a picture, and the tiles with their masks."""
    tiles = encoders.picture_tiles(pictures.positive, use.mask, sharpening)
    for tile, mask in tiles:
        model = await apply_image_prompt(
            encoders,
            model,
            replace(pictures, positive=tile),
            replace(use, mask=mask),
            ipadapter=ipadapter,
            clip_vision=clip_vision,
        )
    return (
        model,
        encoders.joined([tile for tile, _ in tiles]),
        encoders.joined([m for _, m in tiles]),
    )


@node(
    "IPAdapterTiled",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Tiled",
    category="ipadapter/tiled",
    outputs=("MODEL", "tiles", "masks"),
    costly=True,
)
async def apply_tiled(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: LowWeight = 1.0,
    weight_type: WeightType,
    combine_embeds: Combining,
    start_at: When = 0.0,
    end_at: When = 1.0,
    sharpening: Share = 0.0,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Tiled:
    """Let a model go by all of a picture, tile by tile."""
    use = ImageUse(
        weight=weight,
        weight_type=weight_type,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
    )
    pictures = Pictures(image, image_negative, combining=combine_embeds)
    return await apply_in_tiles(
        encoders, model, pictures, use, sharpening, ipadapter=ipadapter, clip_vision=clip_vision
    )


@node(
    "IPAdapterTiledBatch",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Tiled Batch",
    category="ipadapter/tiled",
    outputs=("MODEL", "tiles", "masks"),
    costly=True,
)
async def apply_tiled_batch(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: LowWeight = 1.0,
    weight_type: WeightType,
    start_at: When = 0.0,
    end_at: When = 1.0,
    sharpening: Share = 0.0,
    embeds_scaling: Scaling,
    encode_batch_size: BatchSize = 0,  # noqa: ARG001 - bounds the pack's memory; no result changes
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Tiled:
    """Let every picture of a batch go by all of one of its own, tile by tile."""
    use = ImageUse(
        weight=weight,
        weight_type=weight_type,
        start_percent=start_at,
        end_percent=end_at,
        scaling=embeds_scaling,
        mask=attn_mask,
        per_picture=True,
    )
    return await apply_in_tiles(
        encoders,
        model,
        Pictures(image, image_negative),
        use,
        sharpening,
        ipadapter=ipadapter,
        clip_vision=clip_vision,
    )
