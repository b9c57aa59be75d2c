"""Sizes of the latents that nodes create: pixels and frames for each latent element.

A model's own format belongs to its family (`diffusion/latent_format.py`). These are the sizes that
ComfyUI's node types promise, whatever model comes after them.
"""

from dataclasses import dataclass

# In widgets of latents, areas and inpainting, so many pixels of a picture are one of its latent.
# ComfyUI's nodes count so for every family.
NODE_PX = 8


@dataclass(frozen=True)
class LatentSize:
    """Latents of `channels`, each number for `px` by `px` pixels.

    With `frames` there is a time axis: its first entry is one frame, each other one so many.
    """

    channels: int
    px: int = NODE_PX
    frames: int | None = None

    def shape(self, batch: int, width: int, height: int, length: int = 1) -> tuple[int, ...]:
        """[B, C, h, w], or [B, C, T, h, w] of a video of `length` frames."""
        times = [] if self.frames is None else [(length - 1) // self.frames + 1]
        return (batch, self.channels, *times, height // self.px, width // self.px)


SD = LatentSize(4)
SD3 = LatentSize(16)
FLUX2 = LatentSize(128, px=16)
PIXELS = LatentSize(3, px=1)
HUNYUAN_IMAGE = LatentSize(64, px=32)
CASCADE_B = LatentSize(4, px=4)
HUNYUAN_VIDEO = LatentSize(16, frames=4)
COSMOS_VIDEO = LatentSize(16, frames=8)
MOCHI_VIDEO = LatentSize(12, frames=6)
WAN21_VIDEO = LatentSize(16, frames=4)
WAN22_VIDEO = LatentSize(48, px=16, frames=4)
LTX_VIDEO = LatentSize(128, px=32, frames=8)
