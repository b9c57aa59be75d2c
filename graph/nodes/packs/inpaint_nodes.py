"""comfyui-inpaint-nodes: masks and pictures made ready for inpainting.

Fooocus' patch is declared, as Krita's plugin connects to no server without, and refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from graph.annotators import Annotator
from graph.errors import NotAvailableError
from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.inpainting import Inpainting, MaskBlur, MaskedFill
from graph.stages.sample import SampleFunctions
from graph.values import Conditioning, Image, Latent, Link, Mask, ModelFile, Vae

CATEGORY = "inpaint"
NEEDED = "patches of Fooocus, which are not served"
Pixels = Annotated[int, Widget(min=0, max=8096, step=1)]
Falloff = Annotated[int, Widget(min=0, max=8191, step=1)]
InpaintFile = Annotated[ModelFile, Files("inpaint")]
FOOOCUS = "INPAINT_LoadFooocusInpaint"


def _refused(_: Any) -> Sequence[Annotator]:
    """Tells a workflow so before it begins."""
    raise NotAvailableError(FOOOCUS, NEEDED)


@node(
    FOOOCUS,
    runs_on=Stage.INLINE,
    display_name="Load Fooocus Inpaint",
    category=CATEGORY,
    weights=_refused,
)
def load_fooocus_inpaint(
    *,
    head: InpaintFile,  # noqa: ARG001 - refused
    patch: InpaintFile,  # noqa: ARG001 - refused
) -> Annotated[Any, Link("INPAINT_PATCH")]:
    """Not available."""
    raise NotAvailableError(FOOOCUS, NEEDED)


@node("INPAINT_ExpandMask", runs_on=Stage.IMAGE, display_name="Expand Mask", category=CATEGORY)
def expand_mask(
    stage: Inpainting,
    *,
    mask: Mask,
    grow: Pixels = 16,
    blur: Pixels = 7,
    blur_type: MaskBlur = "gaussian",
) -> Mask:
    """Mask all around what is masked, with a soft edge."""
    return stage.expand_mask(mask, grow, blur, blur_type)


@node("INPAINT_ShrinkMask", runs_on=Stage.IMAGE, display_name="Shrink Mask", category=CATEGORY)
def shrink_mask(
    stage: Inpainting,
    *,
    mask: Mask,
    shrink: Pixels = 16,
    blur: Pixels = 7,
    blur_type: MaskBlur = "gaussian",
) -> Mask:
    """Mask what is far from the mask's edge, with a soft edge."""
    return stage.shrink_mask(mask, shrink, blur, blur_type)


@node(
    "INPAINT_StabilizeMask", runs_on=Stage.IMAGE, display_name="Stabilize Mask", category=CATEGORY
)
def stabilize_mask(
    stage: Inpainting,
    *,
    mask: Mask,
    epsilon: Annotated[float, Widget(min=0.0, max=1.0, step=0.0001)] = 0.01,
) -> Mask:
    """Mask wholly what is masked almost wholly."""
    return stage.stabilize_mask(mask, epsilon)


@node(
    "INPAINT_DenoiseToCompositingMask",
    runs_on=Stage.IMAGE,
    display_name="Denoise to Compositing Mask",
    category=CATEGORY,
    outputs=("mask",),
)
def steepen_mask(
    stage: Inpainting,
    *,
    mask: Mask,
    offset: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 0.1,
    threshold: Annotated[float, Widget(min=0.01, max=1.0, step=0.01)] = 0.2,
) -> Mask:
    """Turn how much is made anew into how much is shown of it."""
    return stage.steepen_mask(mask, offset, threshold)


@node(
    "INPAINT_MaskBoundingBox",
    runs_on=Stage.IMAGE,
    display_name="Mask Bounding Box",
    category=CATEGORY,
    outputs=("x", "y", "width", "height"),
)
def mask_bounds(stage: Inpainting, *, mask: Mask) -> tuple[int, int, int, int]:
    """Say where the first mask is."""
    return stage.mask_bounds(mask)


@node("INPAINT_MaskedFill", runs_on=Stage.IMAGE, display_name="Fill Masked Area", category=CATEGORY)
def fill_masked(
    stage: Inpainting, *, image: Image, mask: Mask, fill: MaskedFill, falloff: Falloff = 0
) -> Image:
    """Make masked parts grey, or fill them from around them."""
    return stage.fill_masked(image, mask, fill, falloff)


@node("INPAINT_MaskedBlur", runs_on=Stage.IMAGE, display_name="Blur Masked Area", category=CATEGORY)
def blur_masked(
    stage: Inpainting,
    *,
    image: Image,
    mask: Mask,
    blur: Annotated[int, Widget(min=3, max=8191, step=1)] = 255,
    falloff: Falloff = 0,
) -> Image:
    """Blur masked parts."""
    return stage.blur_masked(image, mask, blur, falloff)


@node(
    "INPAINT_ColorMatch",
    runs_on=Stage.IMAGE,
    display_name="Color Match (Masked)",
    category=CATEGORY,
)
def match_colors(
    stage: Inpainting,
    *,
    target: Image,
    reference: Image,
    exclude_mask: Mask | None = None,
    strength: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> Image:
    """Give pictures the colours of others, where a mask excludes nothing."""
    return stage.match_lab_colors(target, reference, exclude_mask, strength)


@node(
    "INPAINT_VAEEncodeInpaintConditioning",
    runs_on=Stage.SAMPLE,
    display_name="VAE Encode & Inpaint Conditioning",
    category=CATEGORY,
    outputs=("positive", "negative", "latent_inpaint", "latent_samples"),
)
async def encode_and_condition(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Mask,
) -> tuple[Conditioning, Conditioning, Latent, Latent]:
    """As InpaintModelConditioning, and the latent of the picture without what is masked."""
    fitted = await asyncio.to_thread(stage.fit_mask, pixels, mask)
    blank = await stage.encode(vae, await asyncio.to_thread(stage.grey_out, pixels, fitted))
    known = {"concat_latent_image": blank, "concat_mask": fitted}
    samples = Latent(await stage.encode(vae, pixels), fitted)
    return (
        stage.with_extras(positive, **known),
        stage.with_extras(negative, **known),
        Latent(blank, fitted.round()),
        samples,
    )
