"""LoRA key names for diffusion transformers.

Files name layers as the model's own file does (kohya, Black Forest Labs, XLabs) or as diffusers
does (diffusers, PEFT, OneTrainer, SimpleTuner). A layer of the former may be several of the
latter, so what a file says of it is cut. (ComfyUI comfy/lora.py, `model_lora_keys_unet`)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from diffusion.dit.pieces import Piece
from diffusion.networks.weight_names import UNET_PREFIXES, Names, Target, flat

PREFIXES = (
    *UNET_PREFIXES,
    "transformer.",
    "lora_transformer_",
    "base_model.model.transformer.",
)


@dataclass(frozen=True)
class DitNames(Names):
    """The weights of a transformer, under diffusers' names for them and its own file's."""

    pieces: tuple[Piece, ...]
    names: tuple[str, ...]

    def parameters(self) -> Mapping[str, str]:
        """Layers of the model's own file are told as `layer.weight`, others as diffusers' are."""
        found = {}
        for name in self.names:
            short = name.removesuffix(".weight")
            found[flat(short)] = name
            found[flat(short.removesuffix(".0") if ".to_out." in short else short)] = name
        for source in self.sources:
            found[flat(source)] = f"{source}.weight"
            found[flat(f"{source}.bias")] = f"{source}.bias"
        return found

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix(p)) for p in PREFIXES if stem.startswith(p))

    def targets(self, name: str) -> list[Target]:
        """The parameters that a name stands for, each with what it takes of a change."""
        layer, _, leaf = name.rpartition(".")
        if name in self.names:
            return [Target(name)]
        own = set(self.names)
        return [
            Target(f"{piece.module}.{leaf}", piece)
            for piece in self.cut(layer)
            if f"{piece.module}.{leaf}" in own
        ]

    def cut(self, layer: str) -> list[Piece]:
        """The pieces of a layer of the model's own file."""
        return self.sources.get(layer, [])

    @cached_property
    def sources(self) -> dict[str, list[Piece]]:
        """Layers of the model's own file, cut as diffusers has them."""
        found: dict[str, list[Piece]] = {}
        for source, piece in self._present():
            found.setdefault(source, []).append(piece)
        return found

    def _present(self) -> Iterator[tuple[str, Piece]]:
        own = set(self.names)
        for piece in self.pieces:
            if f"{piece.module}.weight" in own:
                yield piece.source, piece


def names_by(
    pieces: Callable[[Any], Iterable[Piece]],
) -> Callable[[Any, tuple[str, ...]], DitNames]:
    """A family's `weight_names`, where `pieces` of its shape tell how its files name layers."""
    return lambda shape, names: DitNames(tuple(pieces(shape)), names)
