"""Detects the configuration of Chroma's transformer from its tensors' names and shapes.

In two layouts: its own, which is that of Flux without modulations, and diffusers'.
"""

from dataclasses import dataclass
from typing import TypeVar

from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

MARK = "distilled_guidance_layer.in_proj.weight"
S = TypeVar("S", bound="ChromaShape")
UNIT = 32  # a head has a multiple of so many channels
MODULATIONS = 344  # of a whole model; those that were cut keep the places of their numbers
SINGLE, DOUBLE, LAST = 3, 6, 2  # modulations of a block, of each half of one, and behind all


@dataclass(frozen=True)
class ChromaShape:
    """A transformer of Chroma: Flux's blocks, all modulated by one network (the approximator)."""

    in_channels: int
    width: int
    mlp: int  # channels between the two layers of a perceptron
    double: int
    single: int
    head: int  # channels of a head
    context_dim: int
    time_inputs: int  # waves that the approximator reads
    approximator: int  # its width
    layers: int  # its layers

    @property
    def axes(self) -> tuple[int, int, int]:
        """Channels of a head that tell a token's picture, row and column."""
        return self.head // 8, self.head * 7 // 16, self.head * 7 // 16


def read_shape(weights: Weights) -> ChromaShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights:
        return None
    own = "double_blocks.0.img_attn.qkv.weight" in weights
    return checked(weights, read(weights, _own if own else _diffusers))


def checked(weights: Weights, shape: S) -> S:
    """Raises BadModelFile unless its heads and modulations add up."""
    check_heads(weights, width=shape.width, head=shape.head, unit=UNIT)
    used = SINGLE * shape.single + 2 * DOUBLE * shape.double + LAST
    if used > MODULATIONS or shape.time_inputs % 8:
        raise weights.bad(
            problem=f"its transformer has {shape.double} and {shape.single} blocks, which take "
            f"{used} modulations made of {shape.time_inputs} numbers; Chroma has {MODULATIONS}"
        )
    return shape


def _own(weights: Weights) -> ChromaShape:
    return _shape(
        weights,
        first="img_in",
        text="txt_in",
        mlp="double_blocks.0.img_mlp.0.weight",
        blocks=("double_blocks.{}.", "single_blocks.{}."),
        norm="double_blocks.0.img_attn.norm.query_norm.scale",
    )


def _diffusers(weights: Weights) -> ChromaShape:
    return _shape(
        weights,
        first="x_embedder",
        text="context_embedder",
        mlp="transformer_blocks.0.ff.net.0.proj.weight",
        blocks=("transformer_blocks.{}.", "single_transformer_blocks.{}."),
        norm="transformer_blocks.0.attn.norm_q.weight",
    )


def _shape(
    weights: Weights, *, first: str, text: str, mlp: str, blocks: tuple[str, str], norm: str
) -> ChromaShape:
    width, channels = weights.shape(f"{first}.weight")
    approximator, time_inputs = weights.shape(MARK)
    double, single = blocks
    return ChromaShape(
        in_channels=channels // PATCH**2,
        width=width,
        mlp=weights.shape(mlp)[0],
        double=counted(weights, double),
        single=counted(weights, single),
        head=weights.shape(norm)[0],
        context_dim=weights.shape(f"{text}.weight")[1],
        time_inputs=time_inputs,
        approximator=approximator,
        layers=counted(weights, "distilled_guidance_layer.layers.{}."),
    )
