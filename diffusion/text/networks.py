"""The text encoders that families share, as they are found in files."""

import math
from functools import partial

import torch

from diffusion.text.clip_layout import PartName, find_parts
from diffusion.text.clip_part import ClipPart, Reading, load_clip
from diffusion.text.encodings import MakePart, TextNetwork, TextPart, TextTools
from diffusion.text.t5_part import T5Part, expected_t5_bytes, find_t5, load_t5
from diffusion.weights import Weights


def _find_clip(name: PartName, weights: Weights) -> Weights | None:
    return find_parts(weights).get(name)


def _clip_bytes(part: Weights, dtype: torch.dtype) -> int:
    return sum(math.prod(part.shape(key)) for key in part) * dtype.itemsize


def _clip(name: PartName) -> TextNetwork:
    return TextNetwork(name, f"CLIP-{name.upper()}", partial(_find_clip, name), _clip_bytes)


CLIP_L, CLIP_G, CLIP_H = map(_clip, ("l", "g", "h"))
T5 = TextNetwork("t5xxl", "T5", find_t5, expected_t5_bytes)


def clip(network: TextNetwork, reading: Reading) -> MakePart:
    """A CLIP of which this reading is taken."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        module = load_clip(part, tools.dtype, tools.device)
        return ClipPart(network.name, module, reading, tools.tokenizers.clip)

    return make


def t5(*, shortest: int) -> MakePart:
    """A T5 whose prompts are padded to `shortest` tokens."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        tokenizer = tools.tokenizers.t5()  # before the weights, which are large
        module = load_t5(part, tools.dtype, tools.device)
        return T5Part("t5xxl", module, tokenizer, shortest, tools.dtype)

    return make
