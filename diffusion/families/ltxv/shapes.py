"""Detects the configuration of LTX-Video's transformer from its tensors and metadata.

In two layouts: Lightricks' (`patchify_proj`), and diffusers' (`proj_in`).
"""

from dataclasses import dataclass
from typing import Any

from diffusion.dit.reading import check_heads, counted, read
from diffusion.weights import Weights, metadata_config

HEADS = 32
KEY = "transformer_blocks.0.attn2.to_k.weight"
OWN, DIFFUSERS = "adaln_single", "time_embed"
TIME = "{}.emb.timestep_embedder.linear_1.weight"


@dataclass(frozen=True)
class LtxvShape:
    """A transformer of LTX-Video, whose tokens are latent pixels of all frames."""

    in_channels: int
    width: int
    blocks: int
    cross_dim: int  # of the text, once it is projected
    context_dim: int
    causal: bool  # the first latent frame is one frame of the video, and is told so

    def config(self) -> dict[str, Any]:
        """Arguments of `diffusers.LTXVideoTransformer3DModel`."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.in_channels,
            "num_attention_heads": HEADS,
            "attention_head_dim": self.width // HEADS,
            "cross_attention_dim": self.cross_dim,
            "num_layers": self.blocks,
            "caption_channels": self.context_dim,
        }


def read_shape(weights: Weights) -> LtxvShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    own = TIME.format(OWN) in weights and "audio_adaln_single.linear.weight" not in weights
    if not own and not (TIME.format(DIFFUSERS) in weights and "scale_shift_table" in weights):
        return None
    shape = read(weights, _shape)
    check_heads(weights, width=shape.width, head=shape.width // HEADS, unit=2)
    return shape


def _shape(weights: Weights) -> LtxvShape:
    first = "patchify_proj" if TIME.format(OWN) in weights else "proj_in"
    width, channels = weights.shape(f"{first}.weight")
    metadata = metadata_config(weights, "transformer")
    return LtxvShape(
        in_channels=channels,
        width=width,
        blocks=counted(weights, "transformer_blocks.{}."),
        cross_dim=weights.shape(KEY)[1],
        context_dim=weights.shape("caption_projection.linear_1.weight")[1],
        causal=metadata.get("causal_temporal_positioning") is True,
    )
