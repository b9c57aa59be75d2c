"""Vision models of transformers, from its own checkpoints and from those of the models' authors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

Rules = Iterable[tuple[str, str]]  # regular expressions and what takes their place, in this order


def pretrained(kind: Any, config: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A model of transformers with these weights, whichever of its versions named them.

    Raises:
        ValueError: weights are missing or of another shape.
    """
    model, info = kind.from_pretrained(
        None, config=config, state_dict=dict(tensors), output_loading_info=True
    )
    if info["missing_keys"]:
        problem = f"there is no tensor {min(info['missing_keys'])!r}"
        raise ValueError(problem)
    network: nn.Module = model
    return network.float().eval().requires_grad_(requires_grad=False)


def renamed(tensors: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """The tensors under the names that `rules` make of theirs, one after the other."""
    compiled = [(re.compile(pattern), name) for pattern, name in rules]

    def rename(name: str) -> str:
        for pattern, new in compiled:
            name = pattern.sub(new, name)
        return name

    return {rename(name): tensor for name, tensor in tensors.items()}


def split_attention(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in which queries, keys and values of attention are apart, not one `qkv`."""
    split: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".qkv." not in name:
            split[name] = tensor
            continue
        for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            split[name.replace(".qkv.", f".attention.{part}.")] = piece
    return split


def highest(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """The highest number that stands for the group of `pattern` in a name.

    Raises:
        ValueError: no name matches.
    """
    return max(int(found[1]) for name in tensors if (found := re.match(pattern, name)))
