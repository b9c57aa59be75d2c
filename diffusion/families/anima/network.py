"""The transformer of Anima, which is Cosmos-Predict2's, and how it is called.

Modules have the names of the file. (ComfyUI comfy/ldm/cosmos/predict2.py)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.call import DitCall
from diffusion.dit.tokens import PATCH, packed, tokens_along, unpatched
from diffusion.families.anima.adapter import Adapter
from diffusion.families.anima.shapes import ALONGSIDE, AnimaShape
from diffusion.networks.compiling import Blocks
from diffusion.networks.layers import sinusoids

EPS = 1e-6
THETA = 10_000.0
STRETCH = 4.0  # how much larger than in training pictures may be, on both of their sides


class Attention(nn.Module):
    """Tokens that see each other, or a prompt."""

    def __init__(self, shape: AnimaShape, source: int) -> None:
        super().__init__()
        self.head = shape.head
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(source, shape.width, bias=False)
        self.v_proj = nn.Linear(source, shape.width, bias=False)
        self.output_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.q_norm = nn.RMSNorm(shape.head, eps=EPS)
        self.k_norm = nn.RMSNorm(shape.head, eps=EPS)

    def forward(self, x: Tensor, seen: Tensor, *places: Tensor) -> Tensor:
        q, k, v = (
            layer(tokens).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for layer, tokens in ((self.q_proj, x), (self.k_proj, seen), (self.v_proj, seen))
        )
        q, k = self.q_norm(q), self.k_norm(k)
        if places:
            q, k = turned(q, *places), turned(k, *places)
        heard = functional.scaled_dot_product_attention(q, k, v)
        answer: Tensor = self.output_proj(heard.transpose(1, 2).flatten(2))
        return answer


def turned(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Heads [N, H, T, head], one half against the other."""
    first, second = heads.float().chunk(2, dim=-1)
    both = (first * cosines - second * sines, second * cosines + first * sines)
    return torch.cat(both, dim=-1).to(heads.dtype)


class Perceptron(nn.Module):
    """Two layers."""

    def __init__(self, width: int, mlp: int) -> None:
        super().__init__()
        self.layer1 = nn.Linear(width, mlp, bias=False)
        self.layer2 = nn.Linear(mlp, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layer2(functional.gelu(self.layer1(x)))
        return answer


def modulation(shape: AnimaShape, parts: int) -> nn.Sequential:
    """The time as shift, scale and gate, through few channels."""
    return nn.Sequential(
        nn.SiLU(),
        nn.Linear(shape.width, shape.low_rank, bias=False),
        nn.Linear(shape.low_rank, parts * shape.width, bias=False),
    )


def moved(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`x` [N, T, D], normed, shifted and scaled by [N, D]."""
    normed = functional.layer_norm(x, x.shape[-1:], eps=EPS)
    return normed * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Tokens see each other, then the prompt; the time tells each part how."""

    def __init__(self, shape: AnimaShape) -> None:
        super().__init__()
        self.self_attn = Attention(shape, shape.width)
        self.cross_attn = Attention(shape, shape.context_dim)
        self.mlp = Perceptron(shape.width, shape.mlp)
        self.adaln_modulation_self_attn = modulation(shape, 3)
        self.adaln_modulation_cross_attn = modulation(shape, 3)
        self.adaln_modulation_mlp = modulation(shape, 3)

    def forward(
        self, x: Tensor, text: Tensor, times: Tensor, places: tuple[Tensor, Tensor]
    ) -> Tensor:
        """`times` [N, 2, 3 D]: the normed waves in the first D, and what is added to each part."""
        vector, added = times[:, 0, : x.shape[-1]], times[:, 1]
        shift, scale, gate = (self.adaln_modulation_self_attn(vector) + added).chunk(3, dim=-1)
        own = moved(x, shift, scale)
        x = x + gate[:, None] * self.self_attn(own, own, *places)
        shift, scale, gate = (self.adaln_modulation_cross_attn(vector) + added).chunk(3, dim=-1)
        x = x + gate[:, None] * self.cross_attn(moved(x, shift, scale), text)
        shift, scale, gate = (self.adaln_modulation_mlp(vector) + added).chunk(3, dim=-1)
        answer: Tensor = x + gate[:, None] * self.mlp(moved(x, shift, scale))
        return answer


class Head(nn.Module):
    """Tokens to latent pixels."""

    def __init__(self, shape: AnimaShape) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.width, shape.out_channels * PATCH**2, bias=False)
        self.adaln_modulation = modulation(shape, 2)

    def forward(self, x: Tensor, vector: Tensor, added: Tensor) -> Tensor:
        shift_and_scale = self.adaln_modulation(vector) + added[:, : 2 * vector.shape[-1]]
        answer: Tensor = self.linear(moved(x, *shift_and_scale.chunk(2, dim=-1)))
        return answer


class TimeLayers(nn.Module):
    """Two layers that the waves of the time go through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, width, bias=False)
        self.linear_2 = nn.Linear(width, 3 * width, bias=False)

    def forward(self, waves: Tensor) -> Tensor:
        answer: Tensor = self.linear_2(functional.silu(self.linear_1(waves)))
        return answer


class Embedder(nn.Module):
    """Squares of latent pixels to tokens."""

    def __init__(self, shape: AnimaShape) -> None:
        super().__init__()
        pixels = (shape.in_channels + ALONGSIDE) * PATCH**2
        self.proj = nn.Sequential(nn.Identity(), nn.Linear(pixels, shape.width, bias=False))


class Anima(nn.Module):
    """The parameters. `anima` calls it."""

    def __init__(self, shape: AnimaShape) -> None:
        super().__init__()
        self.shape = shape
        self.x_embedder = Embedder(shape)
        self.t_embedder = nn.Sequential(nn.Identity(), TimeLayers(shape.width))
        self.t_embedding_norm = nn.RMSNorm(shape.width, eps=EPS)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_layer = Head(shape)
        self.llm_adapter = Adapter(shape.adapter)


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call may be any number."""
    return {type(block): ((0,), (0,), (0,), (0,)) for block in module.blocks}


def anima(module: Anima, call: DitCall) -> Tensor:
    """The velocity that it sees. The sample is [N, C, T, h, w]."""
    embedder: Any = module.x_embedder.proj[1]
    dtype = module.t_embedding_norm.weight.dtype  # no layer has a bias, and weights may be packed
    frames = call.sample.shape[2]
    whole = functional.pad(call.sample.movedim(1, 2), (0, 0, 0, 0, 0, ALONGSIDE)).flatten(0, 1)
    tokens = packed(whole).to(dtype).unflatten(0, (-1, frames)).flatten(1, 2)
    waves = sinusoids(call.times, module.shape.width).to(dtype)
    added, vector = module.t_embedder[1](waves), module.t_embedding_norm(waves)
    times = torch.stack(
        [functional.pad(vector, (0, added.shape[1] - vector.shape[1])), added], dim=1
    )
    height, width = call.sample.shape[-2:]
    places = placed(frames, tokens_along(height), tokens_along(width), module.shape.head)
    tables = (places.cos().to(tokens.device), places.sin().to(tokens.device))
    x, text = embedder(tokens), call.context.to(dtype)
    for index, block in enumerate(module.blocks):
        if index not in call.skipped.get("double", ()):
            x = block(x, text, times, tables)
    velocity = module.final_layer(x, vector, added).unflatten(1, (frames, -1)).flatten(0, 1)
    answer: Tensor = unpatched(velocity, height, width).unflatten(0, (-1, frames)).movedim(1, 2)
    return answer


def placed(frames: int, rows: int, columns: int, head: int) -> Tensor:
    """By how much tokens are turned, [T, head / 2]: frame, row and column take turns."""
    side = head // 6 * 2
    angles = []
    for channels, stretch in ((head - 2 * side, 1.0), (side, STRETCH), (side, STRETCH)):
        theta = THETA * stretch ** (channels / (channels - 2))
        angles.append(1.0 / theta ** (torch.arange(0, channels, 2).float() / channels))
    grid = torch.cartesian_prod(*(torch.arange(size).float() for size in (frames, rows, columns)))
    return torch.cat([grid[:, i : i + 1] * waves for i, waves in enumerate(angles)], dim=-1)
