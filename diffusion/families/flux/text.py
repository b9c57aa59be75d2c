"""Text conditioning of Flux: CLIP-L and T5. (ComfyUI text_encoders/flux.py)"""

from torch import Tensor

from diffusion.text.clip_part import Reading
from diffusion.text.encodings import States, TextEncoding
from diffusion.text.networks import CLIP_L, T5, clip, t5


def joined(states: States) -> tuple[Tensor, Tensor]:
    """T5's tokens, and CLIP-L's pooled state."""
    pooled = states["l"].pooled
    assert pooled is not None
    return states["t5xxl"].tokens, pooled


TEXT = TextEncoding(
    {
        CLIP_L: clip(CLIP_L, Reading(layer=None, norm=True, project=False)),
        T5: t5(shortest=256),
    },
    joined,
    kinds=frozenset({"flux"}),
)
