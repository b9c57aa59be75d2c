"""Decoder-only language models (Qwen and its like) as text encoders, hidden state by layer.

Modules have the names that files give them. (ComfyUI comfy/text_encoders/llama.py)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, takewhile

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.weights import Weights

FIRST = "layers.0.self_attn.q_proj.weight"
HEAD = 128  # channels of a head, where no norm tells them
GEMMA_HEAD, GEMMA_THETA = 256, 10_000.0
MISTRAL_THETA, MISTRAL_EPS = 1_000_000_000.0, 1e-5
GEMMA = "layers.0.pre_feedforward_layernorm.weight"


@dataclass(frozen=True)
class LlmShape:
    """A language model, as the names and shapes of its tensors tell it."""

    vocabulary: int
    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    biased: bool  # queries, keys and values have biases
    normed: bool  # queries and keys are normed, head by head
    gemma: bool = False  # layers are built as Gemma 2's
    theta: float = 1_000_000.0  # longest wave of positions
    eps: float = 1e-6
    ends_normed: bool = True  # there is a norm behind the last layer


def as_mistral(shape: LlmShape) -> LlmShape:
    """As files of Mistral 3, which look like Llama's, are to be read."""
    return replace(shape, theta=MISTRAL_THETA, eps=MISTRAL_EPS)


def read_llm_shape(part: Weights) -> LlmShape:
    """The shape of the language model in `part`, named without prefix.

    Raises:
        BadModelFile: it is incomplete.
    """
    attention, perceptron = "layers.0.self_attn.", "layers.0.mlp."
    norm = f"{attention}q_norm.weight"
    try:
        vocabulary, width = part.shape("embed_tokens.weight")
        gemma = GEMMA in part
        head = part.shape(norm)[0] if norm in part else GEMMA_HEAD if gemma else HEAD
        return LlmShape(
            vocabulary=vocabulary,
            width=width,
            mlp=part.shape(f"{perceptron}gate_proj.weight")[0],
            layers=_layers(part),
            heads=part.shape(f"{attention}q_proj.weight")[0] // head,
            kv_heads=part.shape(f"{attention}k_proj.weight")[0] // head,
            head=head,
            biased=f"{attention}k_proj.bias" in part,
            normed=norm in part,
            gemma=gemma,
            theta=GEMMA_THETA if gemma else LlmShape.theta,
            ends_normed="norm.weight" in part,
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise part.bad(problem=f"its text encoder is incomplete: {error}") from error


def _layers(part: Weights) -> int:
    there = {key.split(".")[1] for key in part if key.startswith("layers.")}
    return len(list(takewhile(lambda i: str(i) in there, count())))


class Attention(nn.Module):
    """Heads of queries in groups that share keys and values; each token sees those before it."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        width, inner, shared = shape.width, shape.heads * shape.head, shape.kv_heads * shape.head
        self.head = shape.head
        self.q_proj = nn.Linear(width, inner, bias=shape.biased)
        self.k_proj = nn.Linear(width, shared, bias=shape.biased)
        self.v_proj = nn.Linear(width, shared, bias=shape.biased)
        self.o_proj = nn.Linear(inner, width, bias=False)
        self.q_norm = nn.RMSNorm(shape.head, eps=shape.eps) if shape.normed else nn.Identity()
        self.k_norm = nn.RMSNorm(shape.head, eps=shape.eps) if shape.normed else nn.Identity()

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """`x` [B, T, D]; `mask` [B, 1, T, T], what is added to scores; None is causal."""
        q, k, v = (
            layer(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = turned(self.q_norm(q), places), turned(self.k_norm(k), places)
        seen = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=q.shape[1] != k.shape[1]
        )
        answer: Tensor = self.o_proj(seen.transpose(1, 2).flatten(2))
        return answer


class Perceptron(nn.Module):
    """Two layers, the first gated."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.width, bias=False)
        self.activation = nn.GELU("tanh") if shape.gemma else nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return answer


class Layer(nn.Module):
    """Attention and perceptron, each beside an identity."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Perceptron(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), places, mask)
        answer: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return answer


class GemmaLayer(nn.Module):
    """Attention and perceptron between norms, each beside an identity."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Perceptron(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.pre_feedforward_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.post_feedforward_layernorm = nn.RMSNorm(shape.width, eps=shape.eps)

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        heard = self.self_attn(self.input_layernorm(x), places, mask)
        x = x + self.post_attention_layernorm(heard)
        heard = self.mlp(self.pre_feedforward_layernorm(x))
        answer: Tensor = x + self.post_feedforward_layernorm(heard)
        return answer


class Llm(nn.Module):
    """A language model without its last layer, which would guess words."""

    def __init__(self, shape: LlmShape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        layer = GemmaLayer if shape.gemma else Layer
        self.layers = nn.ModuleList(layer(shape) for _ in range(shape.layers))
        ends = nn.RMSNorm(shape.width, eps=shape.eps) if shape.ends_normed else nn.Identity()
        self.norm = ends
        self.visual: nn.Module | None = None  # makes vectors of pictures, of models that see

    def states(
        self, x: Tensor, places: tuple[Tensor, Tensor], mask: Tensor | None = None
    ) -> Iterator[Tensor]:
        """`x` [B, T, D] as each layer leaves it, the first layer's first, none of them normed."""
        for layer in self.layers:
            x = layer(x, places, mask)
            yield x


def rotary(positions: Tensor, shape: LlmShape) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, head] of positions [3, T], the same for both halves of a head.

    The three, which differ in pictures alone, take turns among the waves.
    (Su et al. 2021, as Llama and Qwen2.5-VL lay it out)
    """
    waves = torch.arange(0, shape.head, 2, device=positions.device).float() / shape.head
    angles = positions[..., None].float() * (1.0 / shape.theta**waves)
    first, second = len(waves) // 4, len(waves) * 5 // 8
    own = torch.cat(
        [angles[0, :, :first], angles[1, :, first:second], angles[2, :, second:]], dim=-1
    )
    both = torch.cat([own, own], dim=-1)
    return both.cos(), both.sin()


def turned(x: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Heads [B, H, T, head] turned by what `rotary` gives."""
    cosines, sines = places
    first, second = x.chunk(2, dim=-1)
    return (x * cosines + torch.cat([-second, first], dim=-1) * sines).to(x.dtype)


def causal_mask(seen: Tensor) -> Tensor | None:
    """[B, 1, T, T], what is added to scores so that tokens see those before them that are `seen`.

    `seen` [B, T] is false for padding; None where nothing is padded. A token before which all is
    padding sees all of it alike, as the scores are lost in what is added.
    """
    if bool(seen.all()):
        return None
    length = seen.shape[1]
    far = torch.finfo(torch.float32).min / 4
    later = torch.full((length, length), far, device=seen.device).triu(1)
    return later + torch.where(seen, 0.0, far)[:, None, None, :]
