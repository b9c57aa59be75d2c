"""Expands a node that goes by a picture: an image encoder sees it, and it is fitted to the size."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, cast

from graph.prompt import Node, Source
from graph.results import Expansion
from graph.values import ClipVision, Image, Link, Vae

OUTPUTS = ("positive", "negative", "latent")
Conditioned: TypeAlias = tuple[
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("LATENT")],
]


def conditioned_on(
    picture: Image,
    clip_vision: ClipVision,
    vae: Vae,
    *,
    node: str,
    width: int,
    height: int,
    **settings: Any,
) -> Conditioned:
    """The outputs of the internal `node`, which is given what is seen and the fitted picture."""
    size = {"width": width, "height": height}
    seen = {"clip_vision": clip_vision, "image": picture, "crop": "center"}
    fitted = {"image": picture, "upscale_method": "bilinear", "crop": "center", **size}
    links = {"seen": Source("seen", 0), "image": Source("fitted", 0), "vae": vae}
    nodes: Mapping[str, Node] = {
        "seen": Node("CLIPVisionEncode", seen),
        "fitted": Node("ImageScale", fitted),
        "conditioning": Node(node, {**links, **size, **settings}),
    }
    outputs = tuple(Source("conditioning", slot) for slot in range(len(OUTPUTS)))
    return cast(Conditioned, Expansion(nodes, outputs))
