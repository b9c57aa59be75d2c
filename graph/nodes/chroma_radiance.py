"""Chroma Radiance: how its network is run."""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.values import Model

Sigma = Annotated[float, Widget(min=0.0, max=1.0, advanced=True)]


@node("ChromaRadianceOptions", runs_on=Stage.INLINE, category="model/patch/chroma radiance")
def set_options(
    *,
    model: Model,
    preserve_wrapper: bool = True,  # noqa: ARG001 - there are no wrappers
    start_sigma: Sigma = 1.0,
    end_sigma: Sigma = 0.0,
    nerf_tile_size: Annotated[int, Widget(min=-1, advanced=True)] = -1,  # noqa: ARG001
    force_sequential_txt_ids: Annotated[bool, Widget(advanced=True)] = False,
) -> Model:
    """Say that words lie one after the other; how many squares are worked on does not matter."""
    if not force_sequential_txt_ids:
        return model
    return model.changed("chroma_radiance_options", start_sigma=start_sigma, end_sigma=end_sigma)
