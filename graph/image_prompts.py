"""Descriptions of IP-Adapter image prompts."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from graph.faces import FaceAnalysis, Faces
from graph.values import Image, Link, Mask, ModelFile, Tensor

Embeds: TypeAlias = Annotated[Any, Link("EMBEDS")]  # of an image encoder, [B, P] or [B, T, D]
InsightFace: TypeAlias = Annotated[FaceAnalysis, Link("INSIGHTFACE")]

WEIGHT_TYPES = (
    "linear",
    "ease in",
    "ease out",
    "ease in-out",
    "reverse in-out",
    "weak input",
    "weak output",
    "weak middle",
    "strong middle",
    "style transfer",
    "composition",
    "strong style transfer",
    "style and composition",
    "style transfer precise",
    "composition precise",
)
Combining: TypeAlias = Literal["concat", "add", "subtract", "average", "norm average"]
Scaling: TypeAlias = Literal["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"]


@dataclass(frozen=True, eq=False)
class ImageUse:
    """How strongly, where and when a model goes by an image prompt."""

    weight: float = 1.0
    weight_type: str = "linear"
    weight_composition: float = 1.0  # of the layers that compose, where the type has them apart
    boost: float | None = None  # of the layers that a precise type pushes away from the picture
    layer_weights: str = ""  # "0:1.0, 3:0.5", which goes before the type
    start_percent: float = 0.0
    end_percent: float = 1.0
    scaling: Scaling = "V only"
    mask: Mask | None = None
    per_picture: bool = False  # every picture of a batch goes by one of its own


@dataclass(frozen=True, eq=False)
class FacePictures:
    """What a prompt of faces is made of: pictures, and the face of each.

    `weight` is of what was seen of faces, beside who they are; `noise` is what InstantID holds
    against them.
    """

    image: Image | None = None
    faces: Faces | None = None
    negative: Image | None = None
    combining: Combining = "concat"
    weight: float = 1.0
    noise: float = 0.0


@dataclass(frozen=True, eq=False)
class Pictures:
    """What an image prompt is made of: pictures, or what an image encoder saw in them."""

    positive: Image | None = None
    negative: Image | None = None
    composition: Image | None = None
    seen_positive: Embeds | None = None
    seen_negative: Embeds | None = None
    combining: Combining = "concat"


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """Tokens [B, T, D] that an IP-Adapter made of pictures, ready for its attention layers."""

    file: ModelFile
    positive: Tensor
    negative: Tensor
    composition: Tensor | None  # for the layers that compose, where these see other pictures
    use: ImageUse
