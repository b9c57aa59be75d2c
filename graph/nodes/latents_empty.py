"""Empty latents, in the shapes that model families take."""

from typing import Annotated

from graph.latent_sizes import (
    CASCADE_B,
    COSMOS_VIDEO,
    FLUX2,
    HUNYUAN_IMAGE,
    HUNYUAN_VIDEO,
    LTX_VIDEO,
    MOCHI_VIDEO,
    PIXELS,
    SD,
    SD3,
    LatentSize,
)
from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Latents
from graph.values import Latent

Side8 = Annotated[int, Widget(min=16, max=16384, step=8)]
Side16 = Annotated[int, Widget(min=16, max=16384, step=16)]
Side32 = Annotated[int, Widget(min=64, max=16384, step=32)]
SideCascade = Annotated[int, Widget(min=256, max=16384, step=8)]
Batch = Annotated[int, Widget(min=1, max=4096)]


@node(
    "EmptyLatentImage", runs_on=Stage.SAMPLE, display_name="Empty Latent Image", category="latent"
)
def empty_latent_image(
    latents: Latents, *, width: Side8 = 512, height: Side8 = 512, batch_size: Batch = 1
) -> Latent:
    """Make empty latents to denoise (Stable Diffusion 1, 2, XL)."""
    return latents.empty_latent(SD.shape(batch_size, width, height))


@node("EmptySD3LatentImage", runs_on=Stage.SAMPLE, category="latent/sd3")
def empty_sd3_latent_image(
    latents: Latents, *, width: Side16 = 1024, height: Side16 = 1024, batch_size: Batch = 1
) -> Latent:
    """Make empty latents to denoise (Stable Diffusion 3, Flux)."""
    return latents.empty_latent(SD3.shape(batch_size, width, height))


@node(
    "EmptyFlux2LatentImage",
    runs_on=Stage.SAMPLE,
    display_name="Empty Flux 2 Latent",
    category="model/latent/flux",
)
def empty_flux2_latent_image(
    latents: Latents, *, width: Side16 = 1024, height: Side16 = 1024, batch_size: Batch = 1
) -> Latent:
    """Make empty latents to denoise (Flux.2)."""
    return latents.empty_latent(FLUX2.shape(batch_size, width, height))


@node(
    "EmptyQwenImageLayeredLatentImage",
    runs_on=Stage.SAMPLE,
    display_name="Empty Qwen Image Layered Latent",
    category="model/latent/qwen",
)
def empty_layers(
    latents: Latents,
    *,
    width: Side16 = 640,
    height: Side16 = 640,
    layers: Annotated[int, Widget(min=0, max=16384, step=1)] = 3,
    batch_size: Batch = 1,
) -> Latent:
    """Make an empty picture and empty layers of it to denoise (Qwen-Image-Layered)."""
    batch, channels, *sides = SD3.shape(batch_size, width, height)
    return latents.empty_latent((batch, channels, layers + 1, *sides))


@node("EmptyChromaRadianceLatentImage", runs_on=Stage.SAMPLE, category="latent/chroma_radiance")
def empty_chroma_radiance_latent(
    latents: Latents, *, width: Side16 = 1024, height: Side16 = 1024, batch_size: Batch = 1
) -> Latent:
    """Make empty pictures to denoise (Chroma Radiance)."""
    return latents.empty_latent(PIXELS.shape(batch_size, width, height))


@node("EmptyHunyuanImageLatent", runs_on=Stage.SAMPLE, category="latent")
def empty_hunyuan_image_latent(
    latents: Latents, *, width: Side32 = 2048, height: Side32 = 2048, batch_size: Batch = 1
) -> Latent:
    """Make empty latents to denoise (Hunyuan Image)."""
    return latents.empty_latent(HUNYUAN_IMAGE.shape(batch_size, width, height))


@node(
    "StableCascade_EmptyLatentImage",
    runs_on=Stage.SAMPLE,
    category="latent/stable_cascade",
    outputs=("stage_c", "stage_b"),
)
def empty_cascade_latents(
    latents: Latents,
    *,
    width: SideCascade = 1024,
    height: SideCascade = 1024,
    compression: Annotated[int, Widget(min=4, max=128, step=1)] = 42,
    batch_size: Batch = 1,
) -> tuple[Latent, Latent]:
    """Make empty latents to denoise (both stages of Stable Cascade)."""
    return (
        latents.empty_latent(LatentSize(16, px=compression).shape(batch_size, width, height)),
        latents.empty_latent(CASCADE_B.shape(batch_size, width, height)),
    )


@node("EmptyHunyuanLatentVideo", runs_on=Stage.SAMPLE, category="latent/video")
def empty_hunyuan_video_latent(
    latents: Latents,
    *,
    width: Side16 = 848,
    height: Side16 = 480,
    length: Annotated[int, Widget(min=1, max=16384, step=4)] = 25,
    batch_size: Batch = 1,
) -> Latent:
    """Make an empty video to denoise (Hunyuan, Wan)."""
    return latents.empty_latent(HUNYUAN_VIDEO.shape(batch_size, width, height, length))


@node("EmptyCosmosLatentVideo", runs_on=Stage.SAMPLE, category="latent/video")
def empty_cosmos_video_latent(
    latents: Latents,
    *,
    width: Side16 = 1280,
    height: Side16 = 704,
    length: Annotated[int, Widget(min=1, max=16384, step=8)] = 121,
    batch_size: Batch = 1,
) -> Latent:
    """Make an empty video to denoise (Cosmos)."""
    return latents.empty_latent(COSMOS_VIDEO.shape(batch_size, width, height, length))


@node("EmptyMochiLatentVideo", runs_on=Stage.SAMPLE, category="latent/video")
def empty_mochi_video_latent(
    latents: Latents,
    *,
    width: Side16 = 848,
    height: Side16 = 480,
    length: Annotated[int, Widget(min=7, max=16384, step=6)] = 25,
    batch_size: Batch = 1,
) -> Latent:
    """Make an empty video to denoise (Mochi)."""
    return latents.empty_latent(MOCHI_VIDEO.shape(batch_size, width, height, length))


@node("EmptyLTXVLatentVideo", runs_on=Stage.SAMPLE, category="latent/video/ltxv")
def empty_ltxv_video_latent(
    latents: Latents,
    *,
    width: Side32 = 768,
    height: Side32 = 512,
    length: Annotated[int, Widget(min=1, max=16384, step=8)] = 97,
    batch_size: Batch = 1,
) -> Latent:
    """Make an empty video to denoise (LTX Video)."""
    return latents.empty_latent(LTX_VIDEO.shape(batch_size, width, height, length))


@node("EmptyLatentHunyuan3Dv2", runs_on=Stage.SAMPLE, category="latent/3d")
def empty_hunyuan_3d_latent(
    latents: Latents,
    *,
    resolution: Annotated[int, Widget(min=1, max=8192)] = 3072,
    batch_size: Batch = 1,
) -> Latent:
    """Make empty latents to denoise (Hunyuan 3D)."""
    return latents.empty_latent((batch_size, 64, resolution))


@node("EmptyAceStepLatentAudio", runs_on=Stage.SAMPLE, category="latent/audio")
def empty_ace_step_latent(
    latents: Latents,
    *,
    seconds: Annotated[float, Widget(min=1.0, max=1000.0, step=0.1)] = 120.0,
    batch_size: Batch = 1,
) -> Latent:
    """Make empty sound to denoise (ACE-Step)."""
    return latents.empty_latent((batch_size, 8, 16, int(seconds * 44100 / 512 / 8)))


@node("TrimVideoLatent", runs_on=Stage.SAMPLE, category="latent/video")
def trim_latent(
    latents: Latents,
    *,
    samples: Latent,
    trim_amount: Annotated[int, Widget(min=0, max=99999)] = 0,
) -> Latent:
    """Cut the first frames off a video."""
    return latents.trim_latent(samples, trim_amount)
