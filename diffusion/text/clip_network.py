"""The network of CLIP's text encoders, under the names that transformers gives its parameters.

It is here because importing transformers' own takes seconds. (Radford et al. 2021)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["gelu", "quick_gelu"]


@dataclass(frozen=True)
class ClipShape:
    """How large a text encoder is."""

    vocabulary: int
    width: int
    inner: int  # width between the two layers of an MLP
    layers: int
    heads: int
    length: int  # tokens
    activation: Activation


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "quick_gelu": quick_gelu,
}


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self._activation = ACTIVATIONS[shape.activation]
        self.fc1 = nn.Linear(shape.width, shape.inner)
        self.fc2 = nn.Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.fc2(self._activation(self.fc1(x)))
        return projected


class Layer(nn.Module):
    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.self_attn = SelfAttention(shape.width, shape.heads)
        self.layer_norm1 = nn.LayerNorm(shape.width)
        self.mlp = Mlp(shape)
        self.layer_norm2 = nn.LayerNorm(shape.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, T, D]; `mask` [1, 1, T, T] is added to the scores."""
        x = x + self.self_attn(self.layer_norm1(x), mask)
        answer: Tensor = x + self.mlp(self.layer_norm2(x))
        return answer


class Embeddings(nn.Module):
    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.position_embedding = nn.Embedding(shape.length, shape.width)


class Layers(nn.Module):
    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])


class TextModel(nn.Module):
    """The parts of a text encoder; `diffusion.text.clip_part` runs them."""

    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.encoder = Layers(shape)
        self.final_layer_norm = nn.LayerNorm(shape.width)


class ClipText(nn.Module):
    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        self.shape = shape
        self.text_model = TextModel(shape)
        self.text_projection = nn.Linear(shape.width, shape.width, bias=False)
