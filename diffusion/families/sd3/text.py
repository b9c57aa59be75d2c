"""Text conditioning of Stable Diffusion 3: two CLIPs and T5, any of which may be missing.

(ComfyUI text_encoders/sd3_clip.py)
"""

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.text.clip_part import Reading
from diffusion.text.encodings import States, TextEncoding
from diffusion.text.networks import CLIP_G, CLIP_L, T5, clip, t5
from diffusion.text.prompt import CHUNK

WIDTH = 4096  # of tokens: CLIP's are padded to T5's
CLIP_WIDTHS = {CLIP_L.name: 768, CLIP_G.name: 1280}


def joined(states: States) -> tuple[Tensor, Tensor]:
    """The CLIPs side by side, then T5's tokens; zeros for what is missing."""
    clips = [states[name] for name in ("l", "g") if name in states]
    tokens: list[Tensor] = []
    if clips:
        length = min(each.tokens.shape[1] for each in clips)
        beside = torch.cat([each.tokens[:, :length] for each in clips], dim=-1)
        before = 0 if "l" in states else CLIP_WIDTHS["l"]
        after = WIDTH - before - beside.shape[-1]
        tokens.append(functional.pad(beside, (before, after)))
    if "t5xxl" in states:
        tokens.append(states["t5xxl"].tokens)
    pooled = [
        torch.zeros(1, width) if name not in states else states[name].pooled
        for name, width in CLIP_WIDTHS.items()
    ]
    if not tokens:
        tokens.append(torch.zeros(1, CHUNK, WIDTH))
    return torch.cat(tokens, dim=1), torch.cat([each for each in pooled if each is not None], dim=1)


TEXT = TextEncoding(
    {
        CLIP_L: clip(CLIP_L, Reading(layer=-2, norm=False, project=False)),
        CLIP_G: clip(CLIP_G, Reading(layer=-2, norm=False, project=True)),
        T5: t5(shortest=77),
    },
    joined,
    kinds=frozenset({"sd3"}),
    needs_all=False,
)
