"""Between pictures and latents, tile by tile."""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Autoencoding
from graph.values import Image, Latent, Vae

Overlap = Annotated[int, Widget(min=0, max=4096, step=32)]
Frames = Annotated[int, Widget(min=8, max=4096, step=4)]
FrameOverlap = Annotated[int, Widget(min=4, max=4096, step=4)]


@node(
    "VAEDecodeTiled",
    runs_on=Stage.SAMPLE,
    display_name="VAE Decode (Tiled)",
    category="_for_testing",
    costly=True,
)
async def decode_tiled(
    autoencoders: Autoencoding,
    *,
    samples: Latent,
    vae: Vae,
    tile_size: Annotated[int, Widget(min=64, max=4096, step=32)] = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Image:
    """Pictures of latents that are too large to be decoded in one piece."""
    return await autoencoders.decode_tiled(
        vae,
        samples,
        tile=tile_size,
        overlap=overlap,
        frames=temporal_size,
        frame_overlap=temporal_overlap,
    )


@node(
    "VAEEncodeTiled",
    runs_on=Stage.SAMPLE,
    display_name="VAE Encode (Tiled)",
    category="_for_testing",
)
async def encode_tiled(
    autoencoders: Autoencoding,
    *,
    pixels: Image,
    vae: Vae,
    tile_size: Annotated[int, Widget(min=64, max=4096, step=64)] = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Latent:
    """Latents of pictures that are too large to be encoded in one piece."""
    return Latent(
        await autoencoders.encode_tiled(
            vae,
            pixels,
            tile=tile_size,
            overlap=overlap,
            frames=temporal_size,
            frame_overlap=temporal_overlap,
        )
    )
