"""IP-Adapters for faces that insightface knows: declared as in the pack, and refused by name."""

# ruff: noqa: ARG001 - nothing is done with inputs of what is refused

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from graph.annotators import Annotator, Needs
from graph.errors import NotAvailableError
from graph.image_prompts import Combining, InsightFace, Scaling
from graph.node import Choices, Widget, node
from graph.nodes.ip_adapter import LowWeight, WeightType, When
from graph.stages import Stage
from graph.values import ClipVision, Image, IpAdapter, Mask, Model

FACE_ID = (
    "FACEID",
    "FACEID PLUS - SD1.5 only",
    "FACEID PLUS V2",
    "FACEID PORTRAIT (style transfer)",
    "FACEID PORTRAIT UNNORM - SDXL only (strong)",
)


def refused(class_type: str) -> Needs:
    """What a workflow is told before it begins."""

    def needs(_: Any) -> Sequence[Annotator]:
        raise not_available(class_type)

    return needs


def not_available(class_type: str) -> NotAvailableError:
    return NotAvailableError(class_type, "insightface, whose models are not for commercial use")


@node(
    "IPAdapterUnifiedLoaderFaceID",
    runs_on=Stage.INLINE,
    display_name="IPAdapter Unified Loader FaceID",
    category="ipadapter/faceid",
    outputs=("MODEL", "ipadapter"),
    weights=refused("IPAdapterUnifiedLoaderFaceID"),
)
def load_face_id(
    *,
    model: Model,
    preset: Annotated[str, Choices(FACE_ID)],
    lora_strength: Annotated[float, Widget(min=0, max=1, step=0.01)] = 0.6,
    provider: Literal["CPU", "CUDA", "ROCM", "DirectML", "OpenVINO", "CoreML"],
    ipadapter: IpAdapter | None = None,
) -> tuple[Model, IpAdapter]:
    """Not available."""
    raise not_available("IPAdapterUnifiedLoaderFaceID")


@node(
    "IPAdapterInsightFaceLoader",
    runs_on=Stage.INLINE,
    display_name="IPAdapter InsightFace Loader",
    category="ipadapter/loaders",
    weights=refused("IPAdapterInsightFaceLoader"),
)
def load_insightface(
    *, provider: Literal["CPU", "CUDA", "ROCM"], model_name: Literal["buffalo_l", "antelopev2"]
) -> InsightFace:
    """Not available."""
    raise not_available("IPAdapterInsightFaceLoader")


@node(
    "IPAAdapterFaceIDBatch",
    runs_on=Stage.INLINE,
    display_name="IPAdapter FaceID Batch",
    category="ipadapter/faceid",
    outputs=("MODEL", "face_image"),
    weights=refused("IPAAdapterFaceIDBatch"),
)
@node(
    "IPAdapterFaceID",
    runs_on=Stage.INLINE,
    display_name="IPAdapter FaceID",
    category="ipadapter/faceid",
    outputs=("MODEL", "face_image"),
    weights=refused("IPAdapterFaceID"),
)
def apply_face_id(
    *,
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: LowWeight = 1.0,
    weight_faceidv2: Annotated[float, Widget(min=-1, max=5.0, step=0.05)] = 1.0,
    weight_type: WeightType,
    combine_embeds: Combining,
    start_at: When = 0.0,
    end_at: When = 1.0,
    embeds_scaling: Scaling,
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
    insightface: InsightFace | None = None,
) -> tuple[Model, Image]:
    """Not available."""
    raise not_available("IPAdapterFaceID")
