"""IP-Adapter's node types as ComfyUI_IPAdapter_plus declares them, where the service has none."""

from typing import Annotated, Any, Literal

from graph.node import NODE, Files, NodeType, Stage, Widget, node
from graph.values import Image, Link, Mask, Model, ModelFile

IpAdapter = Annotated[object, Link("IPADAPTER")]
ClipVision = Annotated[object, Link("CLIP_VISION")]
Weight = Annotated[float, Widget(min=-1.0, max=5.0, step=0.05)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]


@node("IPAdapterModelLoader", runs_on=Stage.INLINE)
def load_ip_adapter(*, ipadapter_file: Annotated[ModelFile, Files("ipadapter")]) -> IpAdapter:
    return ipadapter_file


@node("CLIPVisionLoader", runs_on=Stage.INLINE)
def load_clip_vision(*, clip_name: Annotated[ModelFile, Files("clip_vision")]) -> ClipVision:
    return clip_name


@node("IPAdapterAdvanced", runs_on=Stage.SAMPLE)
def apply_ip_adapter(
    stage: Any,
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: Weight = 1.0,
    weight_type: Literal["linear", "ease in", "ease out"],
    combine_embeds: Literal["concat", "add", "subtract", "average", "norm average"],
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Literal["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"],
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    return model


def with_ip_adapter(known: dict[str, NodeType]) -> dict[str, NodeType]:
    functions = (load_ip_adapter, load_clip_vision, apply_ip_adapter)
    declared = [getattr(function, NODE)[0] for function in functions]
    return {one.name: one for one in declared} | known
