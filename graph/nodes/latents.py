"""Latents: scaled, cut, combined and batched."""

from typing import Annotated, Literal, cast

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Latents
from graph.values import Items, Latent, Link, Mask

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
Size = Annotated[int, Widget(min=0, max=16384, step=8)]
Side = Annotated[int, Widget(min=64, max=16384, step=8)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Amount = Annotated[int, Widget(min=1, max=64)]
Rotation = Literal["none", "90 degrees", "180 degrees", "270 degrees"]
FlipMethod = Literal["x-axis: vertically", "y-axis: horizontally"]


@node(
    "SetLatentNoiseMask",
    runs_on=Stage.SAMPLE,
    display_name="Set Latent Noise Mask",
    category="latent/inpaint",
)
def set_noise_mask(latents: Latents, *, samples: Latent, mask: Mask) -> Latent:
    """Sample latents only where a mask is."""
    return latents.set_noise_mask(samples, mask)


@node("LatentUpscale", runs_on=Stage.SAMPLE, display_name="Upscale Latent", category="latent")
def upscale_latent(
    latents: Latents,
    *,
    samples: Latent,
    upscale_method: Method,
    width: Size = 512,
    height: Size = 512,
    crop: Literal["disabled", "center"],
) -> Latent:
    """Bring latents to a size. A side of 0 keeps their proportions."""
    return latents.upscale_latent(samples, width, height, upscale_method, crop)


@node("LatentUpscaleBy", runs_on=Stage.SAMPLE, display_name="Upscale Latent By", category="latent")
def upscale_latent_by(
    latents: Latents,
    *,
    samples: Latent,
    upscale_method: Method,
    scale_by: Annotated[float, Widget(min=0.01, max=8.0, step=0.01)] = 1.5,
) -> Latent:
    """Scale both sides of latents by a factor."""
    return latents.upscale_latent_by(samples, scale_by, upscale_method)


@node("LatentCrop", runs_on=Stage.SAMPLE, display_name="Crop Latent", category="latent/transform")
def crop_latent(
    latents: Latents,
    *,
    samples: Latent,
    width: Side = 512,
    height: Side = 512,
    x: Size = 0,
    y: Size = 0,
) -> Latent:
    """Cut a rectangle out of latents."""
    return latents.crop_latent(samples, width, height, x, y)


@node(
    "LatentRotate", runs_on=Stage.SAMPLE, display_name="Rotate Latent", category="latent/transform"
)
def rotate_latent(latents: Latents, *, samples: Latent, rotation: Rotation) -> Latent:
    """Turn latents clockwise."""
    return latents.rotate_latent(samples, rotation)


@node("LatentFlip", runs_on=Stage.SAMPLE, display_name="Flip Latent", category="latent/transform")
def flip_latent(latents: Latents, *, samples: Latent, flip_method: FlipMethod) -> Latent:
    """Turn latents upside down, or mirror them."""
    return latents.flip_latent(samples, flip_method)


@node("LatentBlend", runs_on=Stage.SAMPLE, display_name="Latent Blend", category="_for_testing")
def blend_latents(
    latents: Latents, *, samples1: Latent, samples2: Latent, blend_factor: Share = 0.5
) -> Latent:
    """Mix two latents, with so much of the first."""
    return latents.blend_latents(samples1, samples2, blend_factor)


@node("LatentComposite", runs_on=Stage.SAMPLE, display_name="Latent Composite", category="latent")
def composite_latents(
    latents: Latents,
    *,
    samples_to: Latent,
    samples_from: Latent,
    x: Size = 0,
    y: Size = 0,
    feather: Size = 0,
) -> Latent:
    """Lay latents over others, with soft edges."""
    return latents.composite_latents(samples_to, samples_from, (x, y), feather)


@node("LatentCompositeMasked", runs_on=Stage.SAMPLE, category="latent")
def composite_latents_masked(
    latents: Latents,
    *,
    destination: Latent,
    source: Latent,
    x: Size = 0,
    y: Size = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Latent:
    """Lay latents over others, where a mask lets them."""
    return latents.composite_latents_masked(
        destination, source, (x, y), mask, resize_source=resize_source
    )


@node(
    "LatentFromBatch",
    runs_on=Stage.SAMPLE,
    display_name="Latent From Batch",
    category="latent/batch",
)
def latent_from_batch(
    latents: Latents,
    *,
    samples: Latent,
    batch_index: Annotated[int, Widget(min=0, max=63)] = 0,
    length: Amount = 1,
) -> Latent:
    """Take some latents out of a batch."""
    return latents.latent_from_batch(samples, batch_index, length)


@node(
    "RepeatLatentBatch",
    runs_on=Stage.SAMPLE,
    display_name="Repeat Latent Batch",
    category="latent/batch",
)
def repeat_latent(latents: Latents, *, samples: Latent, amount: Amount = 1) -> Latent:
    """Repeat a batch of latents."""
    return latents.repeat_latent(samples, amount)


@node("LatentBatch", runs_on=Stage.SAMPLE, category="latent/batch")
def batch_latents(latents: Latents, *, samples1: Latent, samples2: Latent) -> Latent:
    """Make one batch of two, in the size of the first."""
    return latents.batch_latents(samples1, samples2)


@node(
    "RebatchLatents",
    runs_on=Stage.SAMPLE,
    display_name="Rebatch Latents",
    category="latent/batch",
    input_is_list=True,
    list_outputs=(0,),
)
def rebatch_latents(
    stage: Latents,
    *,
    latents: Latent,
    batch_size: Annotated[int, Widget(min=1, max=4096)] = 1,
) -> Annotated[Items, Link("LATENT")]:
    """Put the latents of many batches into batches of one length."""
    (size, *_) = cast(list[int], batch_size)  # lists come in as lists
    return Items(stage.rebatch_latents(cast(list[Latent], latents), size))
