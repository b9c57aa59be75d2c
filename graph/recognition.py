"""Recognises the kind and the family of a model file from its header.

`recognised(tensors)` names the kind and the family of any file that has a family's marks;
`family_of(tensors)` gives the family of a diffusion model alone, U-Nets included. `tensors` are a
header's entries by name (`graph.model_files.header`), or anything else that has shapes.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from graph.families import FAMILIES, SERVED
from graph.family_marks import Family, LoraMark, Mark


class Shaped(Protocol):
    """A tensor of which the shape is known."""

    @property
    def shape(self) -> tuple[int, ...]: ...


# What may stand before the names of a network, an autoencoder or an encoder.
PREFIXES = (
    "",
    "model.diffusion_model.",
    "diffusion_model.",
    "model.model.",
    "model.",
    "net.",
    "unet.",
    "transformer.",
    "control_model.",
    "first_stage_model.",
    "vae.",
    "module.",
)
LORA = re.compile(
    r"[._]lora[._](up|down|mid|A|B|linear_layer)|hada_w[12]_|lokr_w[12]|\.oft_blocks$|"
    r"\.dora_scale$|\.diff(_b)?$|\.(set_weight|w_norm|b_norm)$|"
    r"^(lora|lycoris)_.+\.[ab][12]\.weight$"
)
LORA_END = re.compile(
    r"([._]lora[._].*|\.(up|down)\.weight|\.(hada|lokr|oft|boft)_.*|\.(dora_scale|alpha|diff|diff_b|set_weight|"
    r"w_norm|b_norm|reshape_weight|magnitude)|\.[ab][12]\.weight)$"
)
LORA_START = re.compile(
    r"^(unet\.)?(base_model\.model\.)?(model\.diffusion_model\.|diffusion_model\.|transformer\.|unet\.|net\.|"
    r"lora_unet_|lora_transformer_|lycoris_|lora_)?"
)
# The halves of a low-rank change, each pair's up first.
LORA_PAIRS = (
    (".lora_up.weight", ".lora_down.weight"),
    (".lora_B.weight", ".lora_A.weight"),
    (".lora_B.default.weight", ".lora_A.default.weight"),
    (".lora.up.weight", ".lora.down.weight"),
    ("_lora.up.weight", "_lora.down.weight"),
)
TO_TEXT = re.compile(r"attn2\.to_k\.weight$")
UNET = ("input_blocks.0.0", "down_blocks.0.resnets.0")


@dataclass(frozen=True)
class Recognised:
    """What a file is: its kind, its family, and whose it is in words."""

    kind: str  # "diffusion_model", "controlnet", "vae", "text_encoder" or "lora"
    family: Family
    of: str


def recognised(
    tensors: Mapping[str, Shaped], families: Sequence[Family] = FAMILIES
) -> Recognised | None:
    """The kind and the family that a file's marks tell; None where they tell none of `families`.

    U-Nets of served families have no marks but their text's width: see `family_of`.
    """
    if any(map(LORA.search, tensors)):
        family = _lora_family(tensors, families)
        return Recognised("lora", family, family.title) if family else None
    names = _Names(tensors)
    marks = (
        ("controlnet", [(family, family.controls) for family in families]),
        ("diffusion_model", [(family, family.networks) for family in families]),
        ("vae", [(family, family.vaes) for family in families]),
        ("text_encoder", [(family, family.encoders) for family in families]),
    )
    for kind, of_families in marks:
        for family, of_kind in of_families:
            for mark in of_kind:
                if names.bear(mark):
                    return Recognised(kind, family, mark.of or family.title)
    return None


def family_of(
    tensors: Mapping[str, Shaped], families: Sequence[Family] = FAMILIES
) -> Family | None:
    """The family of a diffusion model, alone or in a checkpoint; None where no family is known."""
    found = recognised(tensors, families)
    if found is not None:
        return found.family if found.kind == "diffusion_model" else None
    return of_text_width(text_width(tensors)) if is_unet(tensors) else None


def is_unet(tensors: Mapping[str, Shaped]) -> bool:
    """Whether there is a U-Net in a file, of any family."""
    names = _Names(tensors)
    return any(map(names.has, UNET))


def text_width(tensors: Mapping[str, Shaped], reads: re.Pattern[str] = TO_TEXT) -> int:
    """Channels of the text that a U-Net's first cross attention reads; 0 where it has none."""
    entries = (entry for name, entry in tensors.items() if reads.search(name))
    return next((entry.shape[1] for entry in entries if len(entry.shape) > 1), 0)


def of_text_width(width: int) -> Family | None:
    """The family of U-Nets that reads text of this width."""
    return next((f for f in SERVED if width and f.text_width == width), None)


def lora_pairs(tensors: Mapping[str, Shaped]) -> Iterator[tuple[str, str]]:
    """The low-rank changes of a LoRA: the name of the half that gives, and of that which reads."""
    for name in tensors:
        for end, other in LORA_PAIRS:
            if name.endswith(end) and (down := name.removesuffix(end) + other) in tensors:
                yield name, down


def lora_layer(name: str) -> str:
    """The layer that a LoRA's tensor changes, with underscores and without what stands around."""
    return LORA_START.sub("", LORA_END.sub("", name), count=1).replace(".", "_")


class _Names:
    """The names of a file, in which modules are looked up under any prefix."""

    def __init__(self, tensors: Mapping[str, Shaped]) -> None:
        self._tensors = tensors
        self._sorted = sorted(tensors)

    def bear(self, mark: Mark) -> bool:
        """Whether a mark is that of this file."""
        if mark.side is not None and not self._measures(*mark.side):
            return False
        return all(map(self.has, mark.has)) and not any(map(self.has, mark.lacks))

    def has(self, module: str) -> bool:
        """Whether there is such a tensor, or a module with tensors in it."""
        return any(self._starts(prefix + module) for prefix in PREFIXES)

    def _starts(self, module: str) -> bool:
        if module in self._tensors:
            return True
        inside = f"{module}."
        at = bisect_left(self._sorted, inside)
        return at < len(self._sorted) and self._sorted[at].startswith(inside)

    def _measures(self, tensor: str, axis: int, size: int) -> bool:
        found = (self._tensors.get(prefix + tensor) for prefix in PREFIXES)
        shapes = [entry.shape for entry in found if entry is not None]
        return any(len(shape) > axis and shape[axis] == size for shape in shapes)


def _lora_family(tensors: Mapping[str, Shaped], families: Sequence[Family]) -> Family | None:
    """By the layers that a LoRA changes, the families in the order in which they are tried."""
    sizes = _lora_sizes(tensors)
    layers = {lora_layer(name): (0, 0) for name in tensors} | sizes
    for family in families:
        for mark in family.loras:
            pattern = re.compile(mark.layer)
            if any(pattern.match(layer) and _fits(mark, *layers[layer]) for layer in layers):
                return family
    return None


def _fits(mark: LoraMark, gives: int, reads: int) -> bool:
    return (not mark.width or reads == mark.width) and (
        not mark.ratio or (reads > 0 and gives == mark.ratio * reads)
    )


def _lora_sizes(tensors: Mapping[str, Shaped]) -> dict[str, tuple[int, int]]:
    """Channels that each layer gives and reads, as far as low-rank halves tell."""
    sizes: dict[str, tuple[int, int]] = {}
    for up, down in lora_pairs(tensors):
        gives, reads = tensors[up].shape, tensors[down].shape
        if len(gives) > 1 and len(reads) > 1:
            sizes[lora_layer(up)] = gives[0], math.prod(reads[1:])
    return sizes
