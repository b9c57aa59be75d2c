"""Between pictures and latents."""

from typing import Protocol

from graph.node import Stage, node
from graph.values import Image, Latent, Tensor, Vae


class Autoencoding(Protocol):
    async def decode(self, vae: Vae, latent: Latent) -> Image: ...

    async def encode(self, vae: Vae, image: Image) -> Tensor: ...


@node(
    "VAEDecode",
    runs_on=Stage.SAMPLE,
    display_name="VAE Decode",
    category="latent",
    splits_batch="samples",
)
async def decode(autoencoders: Autoencoding, *, samples: Latent, vae: Vae) -> Image:
    """Pictures of latents."""
    return await autoencoders.decode(vae, samples)


@node("VAEEncode", runs_on=Stage.SAMPLE, display_name="VAE Encode", category="latent")
async def encode(autoencoders: Autoencoding, *, pixels: Image, vae: Vae) -> Latent:
    """Latents of pictures."""
    return Latent(await autoencoders.encode(vae, pixels))
