"""IP-Adapter by regions: several pictures, each with its mask, weight and time."""

from dataclasses import replace
from typing import Annotated, Any, TypeAlias

from graph.image_prompts import Combining, ImageUse, Pictures, Scaling
from graph.node import Widget, node
from graph.nodes.ip_adapter import LowWeight, WeightType, When, apply_image_prompt
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.stages.sample import Conditionings
from graph.values import ClipVision, Conditioning, Image, IpAdapter, Link, Mask, Model

Regions: TypeAlias = Annotated[tuple[Any, ...], Link("IPADAPTER_PARAMS")]  # of (Image, ImageUse)
PromptWeight = Annotated[float, Widget(min=0.0, max=10.0, step=0.05)]


@node(
    "IPAdapterRegionalConditioning",
    runs_on=Stage.SAMPLE,
    display_name="IPAdapter Regional Conditioning",
    category="ipadapter/params",
    outputs=("IPADAPTER_PARAMS", "POSITIVE", "NEGATIVE"),
)
def describe_region(
    conditions: Conditionings,
    *,
    image: Image,
    image_weight: LowWeight = 1.0,
    prompt_weight: PromptWeight = 1.0,
    weight_type: WeightType,
    start_at: When = 0.0,
    end_at: When = 1.0,
    mask: Mask | None = None,
    positive: Conditioning | None = None,
    negative: Conditioning | None = None,
) -> tuple[Regions, Conditioning, Conditioning]:
    """Say where a picture counts, and prompts with it."""
    use = ImageUse(
        weight=image_weight,
        weight_type=weight_type,
        start_percent=start_at,
        end_percent=end_at,
        mask=mask,
    )

    def within(conditioning: Conditioning | None) -> Conditioning:
        if not conditioning or mask is None:
            return conditioning or ()
        return conditions.set_mask(conditioning, mask, prompt_weight, bounds=False)

    return ((image, use),), within(positive), within(negative)


@node(
    "IPAdapterCombineParams",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Combine Params",
    category="ipadapter/params",
)
def combine_regions(
    _: ImagePrompting,
    *,
    params_1: Regions,
    params_2: Regions,
    params_3: Regions | None = None,
    params_4: Regions | None = None,
    params_5: Regions | None = None,
) -> Regions:
    """Put regions together."""
    given = (params_1, params_2, params_3, params_4, params_5)
    return tuple(region for regions in given for region in regions or ())


@node(
    "IPAdapterFromParams",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter from Params",
    category="ipadapter/params",
    costly=True,
)
async def apply_regions(
    encoders: ImagePrompting,
    *,
    model: Model,
    ipadapter: IpAdapter,
    ipadapter_params: Regions,
    combine_embeds: Combining,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Let a model go by the pictures of regions."""
    for image, use in ipadapter_params:
        model = await apply_image_prompt(
            encoders,
            model,
            Pictures(image, image_negative, combining=combine_embeds),
            replace(use, scaling=embeds_scaling),
            ipadapter=ipadapter,
            clip_vision=clip_vision,
        )
    return model
