"""Between pictures and latents."""

from graph.node import node
from graph.stages import Stage
from graph.stages.sample import Autoencoding
from graph.values import Image, Latent, Vae


@node(
    "VAEDecode",
    runs_on=Stage.SAMPLE,
    display_name="VAE Decode",
    category="latent",
    splits_batch="samples",
    costly=True,
)
async def decode(autoencoders: Autoencoding, *, samples: Latent, vae: Vae) -> Image:
    """Pictures of latents."""
    return await autoencoders.decode(vae, samples)


@node("VAEEncode", runs_on=Stage.SAMPLE, display_name="VAE Encode", category="latent")
async def encode(autoencoders: Autoencoding, *, pixels: Image, vae: Vae) -> Latent:
    """Latents of pictures."""
    return Latent(await autoencoders.encode(vae, pixels))
