"""Recognises the layouts of motion module files by tensor names and shapes.

(ComfyUI-AnimateDiff-Evolved motion_module_ad.py, normalize_ad_state_dict)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from diffusion.weights import Weights

Kind = Literal["animatediff", "hotshot", "lcm"]
MODULE_OF_HOTSHOT = re.compile(r"temporal_attentions\.(\d+)\.")
NUMBER = re.compile(r"(down|up)_blocks\.(\d+)\.")
ATTENTION = re.compile(r"\.attention_blocks\.(\d+)\.")
POSITIONS = "pos_encoder.pe"
LONGEST_WITHOUT_TABLE = 64  # of AnimateLCM, whose positions are not in its file
LONGEST_OF_V3 = 32
LEVELS_OF_XL = 3
BASES: Mapping[int, str] = {4: "Stable Diffusion 1.5", LEVELS_OF_XL: "SDXL"}
# What other files with such names have beside, and is not served: its title.
BESIDE: Mapping[str, str] = {
    "conv_in.": "PIA",
    "img_encoder.": "AnimateLCM-I2V",
    "fps_embedding.": "FancyVideo",
}


@dataclass(frozen=True, eq=False)
class MotionFile:
    """A motion module's file, with the names that version 2 of AnimateDiff gives its tensors."""

    weights: Weights
    keys: Mapping[str, str]  # such a name -> that in the file
    kind: Kind
    version: Literal["v1", "v2", "v3"]
    levels: int  # of the U-Net it is for
    has_middle: bool
    frames: int  # as many can be told apart
    attentions: int  # in each layer

    @property
    def joins_norms(self) -> bool:
        """Whether the U-Net's norms go over all frames together."""
        return self.version == "v1"


def read_motion(weights: Weights) -> MotionFile:
    """What is in a file. Raises BadModelFile where it is no motion module, or of another kind."""
    stripped = {_plain(key): key for key in weights}
    for start, title in BESIDE.items():
        if any(name.startswith(start) for name in stripped):
            raise weights.bad(problem=f"it is a motion module of {title}, which is not served here")
    keys = {name: key for name, key in stripped.items() if ".temporal_transformer." in name}
    levels = _levels(keys)
    if not levels:
        wanted = "tensors of down_blocks.N.motion_modules.M.temporal_transformer"
        found = f"{len(weights)} of other names, such as {', '.join(sorted(weights)[:3])}"
        raise weights.bad(problem=f"it is no motion module: expected {wanted}, got {found}")
    kind = _kind(weights)
    frames = _frames(weights, keys, kind)
    middle = any(name.startswith("mid_block.") for name in keys)
    third = levels != LEVELS_OF_XL and frames == LONGEST_OF_V3
    numbers = [int(match[1]) for name in keys if (match := ATTENTION.search(name))]
    return MotionFile(
        weights,
        keys,
        kind,
        "v2" if middle else "v3" if third else "v1",
        levels,
        middle,
        frames,
        max(numbers, default=-1) + 1,
    )


def _plain(key: str) -> str:
    """A tensor's name without what trainers put before it, and Hotshot-XL's as AnimateDiff's."""
    name = key.removeprefix("state_dict.").removeprefix("module.")
    name = MODULE_OF_HOTSHOT.sub(r"motion_modules.\1.temporal_transformer.", name)
    return name.replace("pos_encoder.positional_encoding", POSITIONS)


def _kind(weights: Weights) -> Kind:
    if any(key.endswith("pos_encoder.positional_encoding") for key in weights):
        return "hotshot"
    return "animatediff" if any("pos_encoder" in key for key in weights) else "lcm"


def _levels(keys: Mapping[str, str]) -> int:
    numbers = [int(found[2]) for name in keys if (found := NUMBER.match(name))]
    return max(numbers, default=-1) + 1


def _frames(weights: Weights, keys: Mapping[str, str], kind: Kind) -> int:
    if kind == "lcm":
        return LONGEST_WITHOUT_TABLE
    tables = {name: weights.shape(key) for name, key in keys.items() if name.endswith(POSITIONS)}
    wrong = {name: shape for name, shape in tables.items() if len(shape) != 3}
    if wrong or not tables:
        name, shape = next(iter(wrong.items()), (POSITIONS, None))
        problem = f"the tensor for {name!r} is {shape}, not [1, frames, width]"
        raise weights.bad(problem=problem)
    return next(iter(tables.values()))[1]


def base_of(file: MotionFile) -> str:
    """What a motion module is for, in words."""
    return BASES.get(file.levels, f"U-Nets of {file.levels} levels")


def own_schedule(file: MotionFile) -> str:
    """The beta schedule that a motion module was trained on, by the pack's name."""
    if file.levels != LEVELS_OF_XL:
        return "lcm" if file.kind == "lcm" else "sqrt_linear (AnimateDiff)"
    return "linear (HotshotXL/default)" if file.kind == "hotshot" else "linear (AnimateDiff-SDXL)"
