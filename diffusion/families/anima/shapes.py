"""What a transformer of Anima looks like, read from the names and shapes of its tensors."""

from dataclasses import dataclass

from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

MARK = "llm_adapter.blocks.0.cross_attn.q_proj.weight"
SMALLEST_HEAD = 12  # each of three axes has two frequencies at least
ALONGSIDE = 1  # channels beside the latent's: where the picture is padded, which is nowhere


@dataclass(frozen=True)
class AdapterShape:
    """The part that turns what a language model says into what the words of T5 would say."""

    words: int
    out: int
    width: int
    mlp: int
    layers: int
    head: int
    source: int  # width of what the language model says


@dataclass(frozen=True)
class AnimaShape:
    """A transformer of Anima: Cosmos-Predict2's, with an adapter of its own."""

    in_channels: int
    out_channels: int
    width: int
    mlp: int
    layers: int
    head: int
    context_dim: int
    low_rank: int  # of the layers that tell blocks the time
    adapter: AdapterShape


def read_shape(weights: Weights) -> AnimaShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights:
        return None
    shape = read(weights, _shape)
    check_heads(weights, width=shape.width, head=shape.head, unit=2)
    if shape.head < SMALLEST_HEAD:
        problem = f"its heads are {shape.head} wide; at least {SMALLEST_HEAD} is read"
        raise weights.bad(problem=problem)
    check_heads(weights, width=shape.adapter.width, head=shape.adapter.head, unit=2)
    return shape


def _shape(weights: Weights) -> AnimaShape:
    width, pixels = weights.shape("x_embedder.proj.1.weight")
    return AnimaShape(
        in_channels=pixels // PATCH**2 - ALONGSIDE,
        out_channels=weights.shape("final_layer.linear.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("blocks.0.mlp.layer1.weight")[0],
        layers=counted(weights, "blocks.{}."),
        head=weights.shape("blocks.0.self_attn.q_norm.weight")[0],
        context_dim=weights.shape("blocks.0.cross_attn.k_proj.weight")[1],
        low_rank=weights.shape("blocks.0.adaln_modulation_self_attn.1.weight")[0],
        adapter=_adapter(weights.under("llm_adapter.")),
    )


def _adapter(weights: Weights) -> AdapterShape:
    words, out = weights.shape("embed.weight")
    return AdapterShape(
        words=words,
        out=out,
        width=weights.shape("blocks.0.self_attn.q_proj.weight")[0],
        mlp=weights.shape("blocks.0.mlp.0.weight")[0],
        layers=counted(weights, "blocks.{}."),
        head=weights.shape("blocks.0.self_attn.q_norm.weight")[0],
        source=weights.shape("blocks.0.cross_attn.k_proj.weight")[1],
    )
