"""Detects the configuration of Qwen-Image's transformer from its tensors' names and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

MARKS = ("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight")
LAYERED = "time_text_embed.addition_t_embedding.weight"
# Where references are put, of files that say it by a tensor; elsewhere one after the other.
METHODS: Mapping[str, str] = MappingProxyType(
    {"__index_timestep_zero__": "index_timestep_zero", LAYERED: "negative_index"}
)
INDEX = "index"
UNIT = 16  # a head has a multiple of so many channels


@dataclass(frozen=True)
class QwenImageShape:
    """A transformer of Qwen-Image."""

    in_channels: int
    out_channels: int
    width: int
    mlp: int  # channels between the two layers of a perceptron
    layers: int
    head: int
    context_dim: int
    layered: bool  # it was trained on pictures in layers too, and is told which kind it draws
    reference_method: str  # where references are put if a prompt does not say it

    @property
    def axes(self) -> tuple[int, int, int]:
        """Channels of a head that tell a token's picture, row and column."""
        return self.head // 8, self.head * 7 // 16, self.head * 7 // 16


def read_shape(weights: Weights) -> QwenImageShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if not all(mark in weights for mark in MARKS):
        return None
    shape = read(weights, _shape)
    check_heads(weights, width=shape.width, head=shape.head, unit=UNIT)
    return shape


def _shape(weights: Weights) -> QwenImageShape:
    width, channels = weights.shape("img_in.weight")
    last = "proj_out.weight"  # a ControlNet has none
    return QwenImageShape(
        in_channels=channels // PATCH**2,
        out_channels=(weights.shape(last)[0] if last in weights else channels) // PATCH**2,
        width=width,
        mlp=weights.shape("transformer_blocks.0.img_mlp.net.0.proj.weight")[0],
        layers=counted(weights, "transformer_blocks.{}."),
        head=weights.shape("transformer_blocks.0.attn.norm_q.weight")[0],
        context_dim=weights.shape("txt_in.weight")[1],
        layered=LAYERED in weights,
        reference_method=next((METHODS[mark] for mark in METHODS if mark in weights), INDEX),
    )
