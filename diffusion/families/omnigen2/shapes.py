"""What a transformer of OmniGen2 looks like, read from the names and shapes of its tensors.

Its blocks are those of a NextDiT under other names. (ComfyUI comfy/ldm/omnigen/omnigen2.py)
"""

from collections.abc import Iterator

from diffusion.dit.next_dit_shape import NextDitShape, NextDitTraits
from diffusion.dit.pieces import Piece, named
from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

MARK = "ref_image_patch_embedder.weight"
TRAITS = NextDitTraits(axes=(1, 1, 1), theta=10000.0, time_scale=1000.0)
REFERENCES = 5  # at most, as the index of each has an embedding


def read_shape(weights: Weights) -> NextDitShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights:
        return None
    shape = read(weights, _shape)
    check_heads(weights, width=shape.heads * shape.head, head=shape.head, unit=6)
    if shape.kv_heads < 1 or shape.heads % shape.kv_heads:
        found = f"{shape.heads} heads for queries and {shape.kv_heads} for keys"
        raise weights.bad(problem=f"its transformer has {found}")
    return shape


def _shape(weights: Weights) -> NextDitShape:
    attention = "layers.0.attn."
    head = weights.shape(f"{attention}norm_q.weight")[0]
    width, pixels = weights.shape("x_embedder.weight")
    time_width = weights.shape("time_caption_embed.timestep_embedder.linear_2.weight")[0]
    return NextDitShape(
        in_channels=pixels // PATCH**2,
        out_channels=weights.shape("norm_out.linear_2.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("layers.0.feed_forward.linear_1.weight")[0],
        layers=counted(weights, "layers.{}."),
        refiners=counted(weights, "noise_refiner.{}."),
        heads=weights.shape(f"{attention}to_q.weight")[0] // head,
        kv_heads=weights.shape(f"{attention}to_k.weight")[0] // head,
        head=head,
        context_dim=weights.shape("time_caption_embed.caption_embedder.1.weight")[1],
        time_hidden=time_width,
        time_width=time_width,
        activated=True,
        multiple=1,
        traits=TRAITS,
    )


def pieces(shape: NextDitShape) -> Iterator[Piece]:
    """All modules, under the names of the models' own files."""
    times, caption = "time_caption_embed.timestep_embedder", "time_caption_embed.caption_embedder"
    kept = ("x_embedder", "ref_image_patch_embedder")
    yield from named({name: name for name in kept})
    yield from named(
        {
            "t_embedder.mlp.0": f"{times}.linear_1",
            "t_embedder.mlp.2": f"{times}.linear_2",
            "cap_embedder.0": f"{caption}.0",
            "cap_embedder.1": f"{caption}.1",
            "final_layer.linear": "norm_out.linear_2",
            "final_layer.adaLN_modulation.1": "norm_out.linear_1",
        }
    )
    for name, count, is_modulated in (
        ("noise_refiner", shape.refiners, True),
        ("ref_image_refiner", shape.refiners, True),
        ("context_refiner", shape.refiners, False),
        ("layers", shape.layers, True),
    ):
        for i in range(count):
            yield from _block(f"{name}.{i}", is_modulated=is_modulated)


def _block(block: str, *, is_modulated: bool) -> Iterator[Piece]:
    attention = ("to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k")
    yield from named({f"{block}.attention.{name}": f"{block}.attn.{name}" for name in attention})
    yield from named(
        {f"{block}.feed_forward.w{n}": f"{block}.feed_forward.linear_{n}" for n in (1, 2, 3)}
    )
    yield from named({f"{block}.ffn_norm{n}": f"{block}.ffn_norm{n}" for n in (1, 2)})
    yield Piece(f"{block}.attention_norm2", f"{block}.norm2")
    if is_modulated:
        yield Piece(f"{block}.attention_norm1", f"{block}.norm1.norm")
        yield Piece(f"{block}.adaLN_modulation.1", f"{block}.norm1.linear")
    else:
        yield Piece(f"{block}.attention_norm1", f"{block}.norm1")
