"""What the keys of LoRA files mean for diffusion transformers.

Files name layers as the model's own file does (kohya, Black Forest Labs, XLabs) or as diffusers
does (diffusers, PEFT, OneTrainer, SimpleTuner). A layer of the former may be several of the
latter, so what a file says of it is cut. (ComfyUI comfy/lora.py, `model_lora_keys_unet`)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from diffusion.dit.pieces import Piece, pieces
from diffusion.dit.shapes import DitShape
from diffusion.lora.keys import UNET_PREFIXES, Target, flat, is_for_text

PREFIXES = (
    *UNET_PREFIXES,
    "transformer.",
    "lora_transformer_",
    "base_model.model.transformer.",
)
# XLabs' names of layers -> those of Black Forest Labs' files.
XLABS: Mapping[str, str] = {
    "qkv_lora1": "img_attn.qkv",
    "qkv_lora2": "txt_attn.qkv",
    "proj_lora1": "img_attn.proj",
    "proj_lora2": "txt_attn.proj",
    "proj": "linear2",
}
FIRST_THREE = "#qkv"  # of XLabs' names too: a single block's first layer without its perceptron's


@dataclass(frozen=True)
class DitNames:
    """The weights of a transformer, under diffusers' names for them and its own file's."""

    shape: DitShape
    names: tuple[str, ...]

    def mine(self, key: str) -> bool:
        return not is_for_text(key)

    def parameters(self) -> Mapping[str, str]:
        """Layers of the model's own file are told as `layer.weight`, others as diffusers' are."""
        found = {}
        for name in self.names:
            short = name.removesuffix(".weight")
            found[flat(short)] = name
            found[flat(short.removesuffix(".0") if ".to_out." in short else short)] = name
        for source in self._sources:
            found[flat(source)] = f"{source}.weight"
            found[flat(f"{source}.bias")] = f"{source}.bias"
            found.update(_as_xlabs(source))
        return found

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix(p)) for p in PREFIXES if stem.startswith(p))

    def targets(self, name: str) -> list[Target]:
        """The parameters that a name stands for, each with what it takes of a change."""
        layer, _, leaf = name.rpartition(".")
        if name in self.names:
            return [Target(name)]
        own = set(self.names)
        cut = self._sources.get(layer.removesuffix(FIRST_THREE), [])
        return [
            Target(f"{piece.module}.{leaf}", piece)
            for piece in (cut[:3] if layer.endswith(FIRST_THREE) else cut)
            if f"{piece.module}.{leaf}" in own
        ]

    @cached_property
    def _sources(self) -> dict[str, list[Piece]]:
        """Layers of the model's own file, cut as diffusers has them."""
        found: dict[str, list[Piece]] = {}
        for source, piece in self._present():
            found.setdefault(source, []).append(piece)
        return found

    def _present(self) -> Iterator[tuple[str, Piece]]:
        own = set(self.names)
        for piece in pieces(self.shape):
            if f"{piece.module}.weight" in own:
                yield piece.source, piece


def _as_xlabs(source: str) -> dict[str, str]:
    """What XLabs calls a layer of a block, if anything."""
    block, number, *rest = [*source.split(".", 2), "", ""]
    layer = "".join(rest)
    found = {
        flat(f"{block}.{number}.{theirs}"): f"{source}.weight"
        for theirs, ours in XLABS.items()
        if layer == ours
    }
    if layer == "linear1":
        found[flat(f"{block}.{number}.qkv")] = f"{source}{FIRST_THREE}.weight"
    return found
