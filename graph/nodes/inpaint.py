"""Inpainting: latents and conditionings of pictures of which a part is to be made anew."""

import asyncio
from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import SampleFunctions
from graph.values import Conditioning, Image, Latent, Mask, Vae

POSITIVE_NEGATIVE_LATENT = ("positive", "negative", "latent")


@node(
    "VAEEncodeForInpaint",
    runs_on=Stage.SAMPLE,
    display_name="VAE Encode (for Inpainting)",
    category="latent/inpaint",
)
async def encode_for_inpaint(
    stage: SampleFunctions,
    *,
    pixels: Image,
    vae: Vae,
    mask: Mask,
    grow_mask_by: Annotated[int, Widget(min=0, max=64, step=1)] = 6,
) -> Latent:
    """Make a latent of a picture with grey where a mask is, to be sampled there."""
    fitted = await asyncio.to_thread(stage.fit_mask, pixels, mask)
    blank = await asyncio.to_thread(stage.grey_out, pixels, fitted)
    grown = await asyncio.to_thread(stage.grow_noise_mask, fitted, grow_mask_by)
    return Latent(await stage.encode(vae, blank), grown)


@node(
    "InpaintModelConditioning",
    runs_on=Stage.SAMPLE,
    category="conditioning/inpaint",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def condition_inpaint_model(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Mask,
    noise_mask: bool = True,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Tell an inpainting model what is there, and where it may paint."""
    fitted = await asyncio.to_thread(stage.fit_mask, pixels, mask)
    blank = await asyncio.to_thread(stage.grey_out, pixels, fitted)
    known = {"concat_latent_image": await stage.encode(vae, blank), "concat_mask": fitted}
    latent = Latent(await stage.encode(vae, pixels), fitted if noise_mask else None)
    return stage.with_extras(positive, **known), stage.with_extras(negative, **known), latent


@node(
    "InstructPixToPixConditioning",
    runs_on=Stage.SAMPLE,
    category="conditioning/instructpix2pix",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def condition_on_picture(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Tell an InstructPix2Pix model which picture to change."""
    picture = await stage.encode(vae, pixels)
    known = {"concat_latent_image": picture}
    latent = Latent(stage.zeros_like(picture))
    return stage.with_extras(positive, **known), stage.with_extras(negative, **known), latent
