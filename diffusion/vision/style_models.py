"""Style models: image embeddings as prompt tokens. (Flux.1 Redux)

(ComfyUI comfy/ldm/flux/redux.py; nodes.py, StyleModelApply)
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.networks.filling import copied
from diffusion.weights import Weights
from graph.values import Condition, Conditioning

BIAS = "attention_bias"  # of a condition's extras; Embedding.bias in sampling/conditioning.py
LAYERS = ("redux_up.weight", "redux_up.bias", "redux_down.weight", "redux_down.bias")


@dataclass(frozen=True, eq=False)
class LoadedStyleModel:
    """Two layers that turn an image encoder's tokens into a text encoder's."""

    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in (*self.up, *self.down))

    @torch.inference_mode()
    def __call__(self, seen: Tensor) -> Tensor:
        """[B, T, D] as [1, B * T, E], float32 on the CPU."""
        x = seen.to(self.up[0])
        tokens = functional.linear(functional.silu(functional.linear(x, *self.up)), *self.down)
        return tokens.flatten(0, 1)[None].float().cpu()


def load_style_model(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> LoadedStyleModel:
    """The style model of a file.

    Raises:
        BadModelFile: it is none, or of another kind.
    """
    if any(key not in weights for key in LAYERS):
        raise weights.bad(problem="no Redux style model in it")
    up, up_bias, down, down_bias = (copied(weights[key], dtype, device) for key in LAYERS)
    if up.shape[0] != down.shape[1]:
        problem = f"its layers are {tuple(up.shape)} and {tuple(down.shape)}"
        raise weights.bad(problem=problem)
    return LoadedStyleModel((up, up_bias), (down, down_bias))


def with_style(
    conditioning: Conditioning, tokens: Tensor, strength: float, *, as_bias: bool
) -> Conditioning:
    """Prompts that go on with `tokens` [1, N, D].

    Their strength multiplies them or, `as_bias`, the attention that other tokens pay to them.
    """
    own = tokens if as_bias else tokens * strength
    weight = strength if as_bias else 1.0
    return tuple(_extended(condition, own, weight) for condition in conditioning)


def _extended(condition: Condition, tokens: Tensor, weight: float) -> Condition:
    text = condition.tokens
    joined = torch.cat([text, tokens.expand(len(text), -1, -1)], dim=1)
    if weight == 1.0 and BIAS not in condition.extras:
        return replace(condition, tokens=joined)
    before, total = text.shape[1], joined.shape[1]
    known = condition.extras.get(BIAS, torch.zeros(before, before + 1))
    bias = torch.zeros(total, total + 1)
    bias[:before, :before], bias[:before, -1] = known[:, :-1], known[:, -1]
    said = math.log(weight) if weight > 0 else -math.inf
    bias[:before, before:total] = said  # what the text before pays to the new tokens
    bias[before:, -1] = said  # what the picture does
    return replace(condition, tokens=joined, extras={**condition.extras, BIAS: bias})
