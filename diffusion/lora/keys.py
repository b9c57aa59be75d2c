"""What the keys of LoRA files mean: which weight, and what of its change.

A key is a stem, which names the weight, and an ending, which names the part: kohya's scripts,
diffusers, PEFT, LyCORIS and OneTrainer each have their own. Dots and underscores are one letter
here, so that kohya's `lora_unet_down_blocks_0` and PEFT's `unet.down_blocks.0` are one name.
(ComfyUI comfy/lora.py, `model_lora_keys_unet`, `model_lora_keys_clip`)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from diffusion.families.sd.shapes import UnetShape, module_names

Parts: TypeAlias = dict[str, str]  # part of a change -> its key in the file

# Longer endings come before those they end in.
ENDINGS: dict[str, str] = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_mid.weight": "mid",
    "_lora.up.weight": "up",
    "_lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B": "up",
    ".lora_A": "down",
    ".up.weight": "up",
    ".down.weight": "down",
    ".alpha": "alpha",
    ".dora_scale": "dora_scale",
    ".lora_magnitude_vector.default.weight": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector": "magnitude",
    **{f".{name}": name for name in ("diff", "diff_b", "set_weight", "w_norm", "b_norm")},
    ".reshape_weight": "reshape_weight",
    **{f".hada_{name}": f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{
        f".lokr_{name}": f"lokr_{name}"
        for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")
    },
    **{f".{name}.weight": f"glora_{name}" for name in ("a1", "a2", "b1", "b2")},
    ".oft_blocks": "oft_blocks",
    ".rescale": "rescale",
}
# Of Black Forest Labs' Depth and Canny for Flux, which are known by these two keys.
OF_FLUX_TOOLS = {".lora_B.bias": "diff_b", ".scale": "set_weight"}
FLUX_TOOLS = ("img_in.lora_A.weight", "single_blocks.0.norm.key_norm.scale")

UNET_PREFIXES = (
    "lora_unet_",
    "lycoris_",
    "unet.base_model.model.",
    "base_model.model.unet.",
    "base_model.model.",
    "unet.",
    "model.diffusion_model.",
    "diffusion_model.",
    "",
)
# Of files for one encoder or two: whichever there is, the first of two, the second of two.
LONE_PREFIXES = (
    "lora_te_",
    "lora_prior_te_",
    "text_encoder.base_model.model.",
    "text_encoder.",
    "base_model.model.",
    "",
)
FIRST_PREFIXES = (*LONE_PREFIXES, "lora_te1_", "text_encoder_1.")
SECOND_PREFIXES = ("lora_te2_", "text_encoder_2.base_model.model.", "text_encoder_2.")
THIRD_PREFIXES = ("lora_te3_", "text_encoder_3.base_model.model.", "text_encoder_3.")
T5 = "t5xxl"
TEXT_STARTS = (
    "lora_te",
    "lora_prior_te",
    "text_encoder",
    "base_model.model.text_model",
    "text_model",
)


def by_stem(keys: Collection[str]) -> tuple[dict[str, Parts], list[str]]:
    """The parts of every change by the stem of its weight, and the keys that are none."""
    stems: dict[str, Parts] = {}
    strange = []
    endings = ENDINGS | (OF_FLUX_TOOLS if all(key in keys for key in FLUX_TOOLS) else {})
    for key in keys:
        ending = next((ending for ending in endings if key.endswith(ending)), None)
        parts = {} if ending is None else stems.setdefault(key.removesuffix(ending), {})
        if ending is None or endings[ending] in parts:
            strange.append(key)
        else:
            parts[endings[ending]] = key
    return stems, strange


def is_for_text(key: str) -> bool:
    """Whether a key speaks of a text encoder; all others speak of the diffusion model."""
    return key.startswith(TEXT_STARTS)


class Cut(Protocol):
    """A part of a tensor: some of its rows, perhaps in another order."""

    def of(self, tensor: Tensor) -> Tensor: ...


class Target(NamedTuple):
    """A parameter, and which part of a change to what it belongs to is for it; None is all."""

    name: str
    cut: Cut | None = None


class Names(Protocol):
    """The weights that a file may change. Equal names read a file equally."""

    def __hash__(self) -> int: ...

    def mine(self, key: str) -> bool:
        """Whether a key is meant for this kind of model, be it found or not."""

    def parameters(self) -> Mapping[str, str]:
        """Stem, flattened -> the parameter's name in the module."""

    def stems(self, stem: str) -> Iterable[str]:
        """The flattened names that a stem of a file may stand for."""

    def targets(self, name: str) -> list[Target]:
        """The parameters that one of `parameters` stands for: itself, or those it is cut into."""


@dataclass(frozen=True)
class UnetNames:
    """The weights of a U-Net, under diffusers' names for them and LDM's."""

    shape: UnetShape
    names: tuple[str, ...]

    def mine(self, key: str) -> bool:
        return not is_for_text(key)

    def parameters(self) -> Mapping[str, str]:
        ldm = {theirs: name for name, theirs in module_names(self.shape).items()}
        found = {}
        for name in self.names:
            short = name.removesuffix(".weight")
            found[flat(short)] = name
            found[flat(_renamed(short, ldm))] = name
            found[flat(short.replace("class_embedding.", "add_embedding."))] = name
            found[flat(short.removesuffix(".0") if ".to_out." in short else short)] = name
        return found

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix(p)) for p in UNET_PREFIXES if stem.startswith(p))

    def targets(self, name: str) -> list[Target]:
        return [Target(name)]


@dataclass(frozen=True)
class ClipNames:
    """The weights of the CLIPs of one text encoder, each under its part's name."""

    names: tuple[tuple[str, tuple[str, ...]], ...]  # part -> parameters

    def mine(self, key: str) -> bool:
        return is_for_text(key)

    def parameters(self) -> Mapping[str, str]:
        return {
            flat(f"{part}.{name.removesuffix('.weight')}"): f"{part}.{name}"
            for part, names in self.names
            for name in names
        }

    def stems(self, stem: str) -> Iterable[str]:
        for part, prefixes in _prefixes([part for part, _ in self.names]).items():
            file = part if part == T5 else f"clip_{part}"
            for prefix in (*prefixes, f"text_encoders.{file}.transformer."):
                if stem.startswith(prefix):
                    yield flat(f"{part}.{stem.removeprefix(prefix)}")

    def targets(self, name: str) -> list[Target]:
        return [Target(name)]


def _prefixes(parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each of the networks is called; alone, a CLIP-G is not the first of two."""
    clips = [part for part in parts if part != T5]
    if len(clips) > 1:
        prefixes = dict(zip(clips, (FIRST_PREFIXES, SECOND_PREFIXES), strict=True))
    else:
        prefixes = {c: LONE_PREFIXES if parts == ["g"] else FIRST_PREFIXES for c in clips}
    if T5 in parts:  # the second or the third, as trainers count Flux's
        prefixes[T5] = THIRD_PREFIXES if len(clips) > 1 else (*SECOND_PREFIXES, *THIRD_PREFIXES)
    return prefixes


def flat(name: str) -> str:
    """A name as kohya writes it, and without diffusers' former attention processors."""
    return name.replace(".", "_").replace("_processor_", "_")


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """`name` with the longest start of it that is in `names` replaced."""
    start = name
    while start and start not in names:
        start = start.rpartition(".")[0]
    return names[start] + name.removeprefix(start) if start else name
