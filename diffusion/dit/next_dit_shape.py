"""Detects a NextDiT's configuration from its tensors' names and shapes, and maps its names.

In two layouts: that of the models' own files, and diffusers' for Z-Image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from diffusion.dit.pieces import Piece, named
from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

PLACE = "2-1"  # diffusers' name for patches of two by two pixels of one frame
DIFFUSERS = f"all_x_embedder.{PLACE}.weight"


@dataclass(frozen=True)
class NextDitTraits:
    """What families of one layout differ in, which no tensor tells."""

    axes: tuple[int, int, int]  # in parts of a head: channels that tell a token's place on each
    theta: float  # longest wave of positions
    time_scale: float = 1.0


@dataclass(frozen=True)
class NextDitShape:
    """A NextDiT."""

    in_channels: int
    out_channels: int
    width: int
    mlp: int  # channels between the two layers of a perceptron
    layers: int
    refiners: int  # blocks for text alone, and as many for the picture
    heads: int
    kv_heads: int
    head: int
    context_dim: int
    time_hidden: int
    time_width: int  # numbers that tell blocks the time
    activated: bool  # there is an activation between that and a block's modulation
    multiple: int  # of tokens, which lists are filled up to
    traits: NextDitTraits

    @property
    def axes(self) -> tuple[int, ...]:
        """Channels of a head for each axis."""
        parts = self.traits.axes
        return tuple(self.head * part // sum(parts) for part in parts)

    @property
    def theta(self) -> float:
        return self.traits.theta

    @property
    def time_scale(self) -> float:
        return self.traits.time_scale


def read_next_dit(weights: Weights, traits: NextDitTraits, multiple: int) -> NextDitShape:
    """The shape of the NextDiT in `weights` (names without prefix).

    `multiple` is for those that have tokens to fill lists up with.

    Raises:
        BadModelFile: it is damaged, or built as none is known to be.
    """
    shape = read(weights, lambda found: _shape(found, traits, multiple))
    check_heads(weights, width=shape.heads * shape.head, head=shape.head, unit=2 * sum(traits.axes))
    if shape.kv_heads < 1 or shape.heads % shape.kv_heads:
        found = f"{shape.heads} heads for queries and {shape.kv_heads} for keys"
        raise weights.bad(problem=f"its transformer has {found}")
    return shape


def _shape(weights: Weights, traits: NextDitTraits, multiple: int) -> NextDitShape:
    own = DIFFUSERS not in weights
    attention = "layers.0.attention."
    head = weights.shape(f"{attention}{'q_norm' if own else 'norm_q'}.weight")[0]
    width, pixels = weights.shape("x_embedder.weight" if own else DIFFUSERS)
    last = "final_layer" if own else f"all_final_layer.{PLACE}"
    heads = weights.shape(f"{attention}{'out' if own else 'to_out.0'}.weight")[1] // head
    rows = weights.shape(f"{attention}{'qkv' if own else 'to_k'}.weight")[0] // head
    time_hidden = weights.shape("t_embedder.mlp.0.weight")[0]
    return NextDitShape(
        in_channels=pixels // PATCH**2,
        out_channels=weights.shape(f"{last}.linear.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("layers.0.feed_forward.w1.weight")[0],
        layers=counted(weights, "layers.{}."),
        refiners=counted(weights, "noise_refiner.{}."),
        heads=heads,
        kv_heads=(rows - heads) // 2 if own else rows,
        head=head,
        context_dim=weights.shape("cap_embedder.1.weight")[1],
        time_hidden=time_hidden,
        time_width=weights.shape("t_embedder.mlp.2.weight")[0],
        activated="layers.0.adaLN_modulation.1.weight" in weights,
        multiple=multiple if "cap_pad_token" in weights else 1,
        traits=traits,
    )


def pieces(shape: NextDitShape) -> Iterator[Piece]:
    """All modules of a NextDiT in the layout of the models' own files."""
    kept = ("t_embedder.mlp.0", "t_embedder.mlp.2", "cap_embedder.0", "cap_embedder.1")
    yield from named({name: name for name in kept})
    last = f"all_final_layer.{PLACE}"
    yield from named(
        {
            f"all_x_embedder.{PLACE}": "x_embedder",
            f"{last}.linear": "final_layer.linear",
            f"{last}.adaLN_modulation.1": "final_layer.adaLN_modulation.1",
        }
    )
    for name, count in (
        ("noise_refiner", shape.refiners),
        ("context_refiner", shape.refiners),
        ("layers", shape.layers),
    ):
        for i in range(count):
            yield from _block(f"{name}.{i}", shape)


def _block(block: str, shape: NextDitShape) -> Iterator[Piece]:
    attention = f"{block}.attention"
    start = 0
    for name, heads in (("q", shape.heads), ("k", shape.kv_heads), ("v", shape.kv_heads)):
        stop = start + heads * shape.head
        yield Piece(f"{attention}.to_{name}", f"{attention}.qkv", start, stop)
        start = stop
    yield from named(
        {
            f"{attention}.to_out.0": f"{attention}.out",
            f"{attention}.norm_q": f"{attention}.q_norm",
            f"{attention}.norm_k": f"{attention}.k_norm",
        }
    )
    kept = (
        *(f"feed_forward.w{number}" for number in (1, 2, 3)),
        *(f"{norm}_norm{number}" for norm in ("attention", "ffn") for number in (1, 2)),
        f"adaLN_modulation.{int(shape.activated)}",
    )
    yield from named({f"{block}.{name}": f"{block}.{name}" for name in kept})
