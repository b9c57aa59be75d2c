"""IP-Adapter by embeds: what an image encoder saw, kept apart from the model that goes by it."""

from typing import Annotated, Literal

from graph.image_prompts import Embeds, ImageUse, Pictures, Scaling
from graph.node import Widget, node
from graph.nodes.ip_adapter import Applied, LowWeight, WeightType, When, apply_image_prompt
from graph.stages import Stage
from graph.stages.encode import ImagePrompting
from graph.values import ClipVision, Image, IpAdapter, Mask, Model


def applied_embeds(name: str, display_name: str, *, per_picture: bool) -> Applied:
    """The node of that name; with `per_picture` every picture of a batch goes by its own."""

    @node(
        name,
        runs_on=Stage.ENCODE,
        display_name=display_name,
        category="ipadapter/embeds",
        costly=True,
    )
    async def apply_embeds(
        encoders: ImagePrompting,
        *,
        model: Model,
        ipadapter: IpAdapter,
        pos_embed: Embeds,
        weight: LowWeight = 1.0,
        weight_type: WeightType,
        start_at: When = 0.0,
        end_at: When = 1.0,
        embeds_scaling: Scaling,
        neg_embed: Embeds | None = None,
        attn_mask: Mask | None = None,
        clip_vision: ClipVision | None = None,
    ) -> Model:
        """Let a model go by what was seen in pictures before."""
        use = ImageUse(
            weight=weight,
            weight_type=weight_type,
            start_percent=start_at,
            end_percent=end_at,
            scaling=embeds_scaling,
            mask=attn_mask,
            per_picture=per_picture,
        )
        seen = Pictures(seen_positive=pos_embed, seen_negative=neg_embed)
        return await apply_image_prompt(
            encoders, model, seen, use, ipadapter=ipadapter, clip_vision=clip_vision
        )

    return apply_embeds


apply_embeds = applied_embeds("IPAdapterEmbeds", "IPAdapter Embeds", per_picture=False)
apply_embeds_of_batch = applied_embeds(
    "IPAdapterEmbedsBatch", "IPAdapter Embeds Batch", per_picture=True
)


@node(
    "IPAdapterEncoder",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Encoder",
    category="ipadapter/embeds",
    outputs=("pos_embed", "neg_embed"),
)
async def encode_for_adapter(
    encoders: ImagePrompting,
    *,
    ipadapter: IpAdapter,
    image: Image,
    weight: Annotated[float, Widget(min=-1.0, max=3.0, step=0.01)] = 1.0,
    mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> tuple[Embeds, Embeds]:
    """See in pictures what an IP-Adapter reads."""
    return await encoders.image_embeds(ipadapter, clip_vision, image, weight=weight, mask=mask)


@node(
    "IPAdapterCombineEmbeds",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Combine Embeds",
    category="ipadapter/embeds",
)
def combine_embeds(
    encoders: ImagePrompting,
    *,
    embed1: Embeds,
    method: Literal["concat", "add", "subtract", "average", "norm average", "max", "min"],
    embed2: Embeds | None = None,
    embed3: Embeds | None = None,
    embed4: Embeds | None = None,
    embed5: Embeds | None = None,
) -> Embeds:
    """Put together what was seen in pictures."""
    given = (embed1, embed2, embed3, embed4, embed5)
    return encoders.combine_embeds([embed for embed in given if embed is not None], method)
