"""Maps tensor names of Wan's transformers: published names and diffusers'.

Our module has the published names.
"""

from collections.abc import Iterator, Mapping

from diffusion.dit.pieces import Piece
from diffusion.dit.reading import counted
from diffusion.weights import Weights

DIFFUSERS = "condition_embedder.text_embedder.linear_1.weight"
AROUND: Mapping[str, str] = {
    "patch_embedding": "patch_embedding",
    "vace_patch_embedding": "vace_patch_embedding",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.head": "proj_out",
}
BLOCK: Mapping[str, str] = {
    **{
        f"{ours}.{part}": f"{theirs}.{name}"
        for ours, theirs in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for part, name in (
            ("q", "to_q"),
            ("k", "to_k"),
            ("v", "to_v"),
            ("o", "to_out.0"),
            ("norm_q", "norm_q"),
            ("norm_k", "norm_k"),
        )
    },
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "before_proj": "proj_in",
    "after_proj": "proj_out",
}
TABLES: Mapping[str, str] = {
    "head.modulation": "scale_shift_table",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
}
STACKS = ("blocks", "vace_blocks")


def pieces(depth: int, vace_depth: int) -> Iterator[Piece]:
    """Every module, each as a whole one of diffusers'."""
    for ours, theirs in AROUND.items():
        yield Piece(ours, theirs)
    for stack, count in zip(STACKS, (depth, vace_depth), strict=True):
        for i in range(count):
            for ours, theirs in BLOCK.items():
                yield Piece(f"{stack}.{i}.{ours}", f"{stack}.{i}.{theirs}")


def published(weights: Weights) -> Weights:
    """The same tensors under the published names, if they have diffusers'."""
    if DIFFUSERS not in weights:
        return weights
    depths = [counted(weights, f"{stack}.{{}}.") for stack in STACKS]
    modules = {piece.source: piece.module for piece in pieces(*depths)}
    tables = {theirs: ours for ours, theirs in TABLES.items()}
    for stack, depth in zip(STACKS, depths, strict=True):
        tables |= {
            f"{stack}.{i}.scale_shift_table": f"{stack}.{i}.modulation" for i in range(depth)
        }
    keys = {_renamed(key, modules, tables): key for key in weights}
    return weights.renamed(keys)


def _renamed(key: str, modules: Mapping[str, str], tables: Mapping[str, str]) -> str:
    layer, _, leaf = key.rpartition(".")
    return tables.get(key) or f"{modules.get(layer, layer)}.{leaf}"
