"""Anima's adapter: the words of a prompt as T5 counts them, told by what Qwen3 says of it.

Modules have the names of the file. (ComfyUI comfy/ldm/anima/model.py)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.families.anima.shapes import AdapterShape

EPS = 1e-6
THETA = 10_000.0


class Attention(nn.Module):
    """Tokens that see others, each with its place among its own."""

    def __init__(self, shape: AdapterShape, source: int) -> None:
        super().__init__()
        self.head = shape.head
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(source, shape.width, bias=False)
        self.v_proj = nn.Linear(source, shape.width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.q_norm = nn.RMSNorm(shape.head, eps=EPS)
        self.k_norm = nn.RMSNorm(shape.head, eps=EPS)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        q, k, v = (
            layer(tokens).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for layer, tokens in ((self.q_proj, x), (self.k_proj, seen), (self.v_proj, seen))
        )
        q, k = turned(self.q_norm(q)), turned(self.k_norm(k))
        heard = functional.scaled_dot_product_attention(q, k, v)
        answer: Tensor = self.o_proj(heard.transpose(1, 2).flatten(2))
        return answer


def turned(heads: Tensor) -> Tensor:
    """Heads [N, H, T, head] by their places, one half against the other. (Su et al. 2021)"""
    length, head = heads.shape[-2:]
    waves = torch.arange(0, head, 2, device=heads.device).float() / head
    angles = torch.arange(length, device=heads.device).float()[:, None] * (1.0 / THETA**waves)
    cosines, sines = (
        torch.cat([t, t], dim=-1).to(heads.dtype) for t in (angles.cos(), angles.sin())
    )
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines


class Block(nn.Module):
    """Words see each other, then what the language model says."""

    def __init__(self, shape: AdapterShape) -> None:
        super().__init__()
        self.norm_self_attn = nn.RMSNorm(shape.width, eps=EPS)
        self.self_attn = Attention(shape, shape.width)
        self.norm_cross_attn = nn.RMSNorm(shape.width, eps=EPS)
        self.cross_attn = Attention(shape, shape.source)
        self.norm_mlp = nn.RMSNorm(shape.width, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(shape.width, shape.mlp), nn.GELU(), nn.Linear(shape.mlp, shape.width)
        )

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        normed = self.norm_self_attn(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.norm_cross_attn(x), said)
        answer: Tensor = x + self.mlp(self.norm_mlp(x))
        return answer


class Adapter(nn.Module):
    """What words [1, T] of T5 say, by what Qwen3 says of the same prompt."""

    def __init__(self, shape: AdapterShape) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.words, shape.out)
        same = shape.width == shape.out
        self.in_proj = nn.Identity() if same else nn.Linear(shape.out, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.out_proj = nn.Linear(shape.width, shape.out)
        self.norm = nn.RMSNorm(shape.out, eps=EPS)

    def forward(self, said: Tensor, words: Tensor) -> Tensor:
        """[1, T, D]."""
        x = self.in_proj(self.embed(words).to(said.dtype))
        for block in self.blocks:
            x = block(x, said)
        answer: Tensor = self.norm(self.out_proj(x))
        return answer
