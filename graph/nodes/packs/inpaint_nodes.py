"""comfyui-inpaint-nodes: declared, as Krita's plugin connects to no server without, and refused."""

# ruff: noqa: ARG001 - nothing is done with inputs of what is refused

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from graph.annotators import Annotator, Needs
from graph.errors import NotAvailableError
from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.values import Image, Link, Mask, ModelFile

CATEGORY = "inpaint"
NEEDED = "comfyui-inpaint-nodes, which is not served"
Pixels = Annotated[int, Widget(min=0, max=8096, step=1)]
InpaintFile = Annotated[ModelFile, Files("inpaint")]
FOOOCUS, SHRINK = "INPAINT_LoadFooocusInpaint", "INPAINT_ShrinkMask"
STABILIZE, MATCH = "INPAINT_StabilizeMask", "INPAINT_ColorMatch"


def _refused(class_type: str) -> Needs:
    """What a workflow is told before it begins."""

    def needs(_: Any) -> Sequence[Annotator]:
        raise NotAvailableError(class_type, NEEDED)

    return needs


@node(
    FOOOCUS,
    runs_on=Stage.INLINE,
    display_name="Load Fooocus Inpaint",
    category=CATEGORY,
    weights=_refused(FOOOCUS),
)
def load_fooocus_inpaint(
    *, head: InpaintFile, patch: InpaintFile
) -> Annotated[Any, Link("INPAINT_PATCH")]:
    """Not available."""
    raise NotAvailableError(FOOOCUS, NEEDED)


@node(
    SHRINK,
    runs_on=Stage.INLINE,
    display_name="Shrink Mask",
    category=CATEGORY,
    weights=_refused(SHRINK),
)
def shrink_mask(
    *,
    mask: Mask,
    shrink: Pixels = 16,
    blur: Pixels = 7,
    blur_type: Literal["box", "linear", "gaussian"] = "gaussian",
) -> Mask:
    """Not available."""
    raise NotAvailableError(SHRINK, NEEDED)


@node(
    STABILIZE,
    runs_on=Stage.INLINE,
    display_name="Stabilize Mask",
    category=CATEGORY,
    weights=_refused(STABILIZE),
)
def stabilize_mask(
    *, mask: Mask, epsilon: Annotated[float, Widget(min=0.0, max=1.0, step=0.0001)] = 0.01
) -> Mask:
    """Not available."""
    raise NotAvailableError(STABILIZE, NEEDED)


@node(
    MATCH,
    runs_on=Stage.INLINE,
    display_name="Color Match (Masked)",
    category=CATEGORY,
    weights=_refused(MATCH),
)
def match_colors(
    *,
    target: Image,
    reference: Image,
    exclude_mask: Mask | None = None,
    strength: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> Image:
    """Not available."""
    raise NotAvailableError(MATCH, NEEDED)
