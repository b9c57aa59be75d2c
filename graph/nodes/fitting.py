"""Pictures and masks resized and batched: the nodes with dynamic inputs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from graph.dynamic_inputs import Growing, Option, Options
from graph.node import Input, Match, Widget, node
from graph.stages import Stage
from graph.stages.fitting import Fitting
from graph.values import Image, Link, Mask

MOST_PICTURES = 50
Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Picture = Annotated[Any, Link("IMAGE,MASK"), Match("input_type")]
Images = Annotated[
    Mapping[str, Any], Growing.counted(Input("image", "IMAGE"), "image", 1, MOST_PICTURES)
]
Masks = Annotated[
    Mapping[str, Any], Growing.counted(Input("mask", "MASK"), "mask", 1, MOST_PICTURES)
]


def _inputs(*inputs: Input) -> Mapping[str, Input]:
    return {one.name: one for one in inputs}


def _side(name: str) -> Input:
    return Input(name, "INT", default=512, widget=Widget(min=0, max=16384, step=1))


CROP = Input("crop", "COMBO", default="center", choices=("disabled", "center"))
MULTIPLIER = Input("multiplier", "FLOAT", default=1.0, widget=Widget(min=0.01, max=8.0, step=0.01))
MEGAPIXELS = Input("megapixels", "FLOAT", default=1.0, widget=Widget(min=0.01, max=16.0, step=0.01))
MULTIPLE = Input("multiple", "INT", default=8, widget=Widget(min=1, max=16384, step=1))
WAYS = Options(
    (
        Option("scale dimensions", _inputs(_side("width"), _side("height"), CROP)),
        Option("scale by multiplier", _inputs(MULTIPLIER)),
        Option("scale longer dimension", _inputs(_side("longer_size"))),
        Option("scale shorter dimension", _inputs(_side("shorter_size"))),
        Option("scale width", _inputs(_side("width"))),
        Option("scale height", _inputs(_side("height"))),
        Option("scale total pixels", _inputs(MEGAPIXELS)),
        Option("match size", _inputs(Input("match", "IMAGE,MASK"), CROP)),
        Option("scale to multiple", _inputs(MULTIPLE)),
    )
)


@node(
    "ResizeImageMaskNode",
    runs_on=Stage.IMAGE,
    display_name="Resize Image/Mask",
    category="image/transform",
    outputs=("resized",),
)
def resize_any(
    fitting: Fitting,
    *,
    input: Picture,
    resize_type: Annotated[Mapping[str, Any], WAYS],
    scale_method: Method = "area",
) -> Picture:
    """Bring pictures or masks to a size, in one of several ways to say which."""
    return fitting.resize_any(input, resize_type, scale_method)


@node("BatchImagesNode", runs_on=Stage.IMAGE, display_name="Batch Images", category="image/batch")
def batch_images(fitting: Fitting, *, images: Images) -> Image:
    """Make one batch of many, in the size of the first."""
    return fitting.batch_pictures(list(images.values()))


@node("BatchMasksNode", runs_on=Stage.IMAGE, display_name="Batch Masks", category="image/mask")
def batch_masks(fitting: Fitting, *, masks: Masks) -> Mask:
    """Make one batch of many masks, in the size of the first."""
    return fitting.batch_pictures(list(masks.values()))
