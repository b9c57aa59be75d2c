"""Parses the keys of LoRA files.

A key is a stem, which names the weight, and an ending, which names the part: kohya's scripts,
diffusers, PEFT, LyCORIS and OneTrainer each have their own. What the stems of diffusion models
mean belongs to their families. (ComfyUI comfy/lora.py, `model_lora_keys_clip`)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from diffusion.networks.weight_names import Names, flat, is_for_text

Parts: TypeAlias = dict[str, str]  # part of a change -> its key in the file
NO_MORE: Mapping[str, str] = MappingProxyType({})

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


def by_stem(
    keys: Collection[str], more: Mapping[str, str] = NO_MORE
) -> tuple[dict[str, Parts], list[str]]:
    """The parts of every change by the stem of its weight, and the keys that are none.

    `more` are endings of the family's own.
    """
    stems: dict[str, Parts] = {}
    strange = []
    endings = {**ENDINGS, **more}
    for key in keys:
        ending = next((ending for ending in endings if key.endswith(ending)), None)
        parts = {} if ending is None else stems.setdefault(key.removesuffix(ending), {})
        if ending is None or endings[ending] in parts:
            strange.append(key)
        else:
            parts[endings[ending]] = key
    return stems, strange


@dataclass(frozen=True)
class ClipNames(Names):
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
