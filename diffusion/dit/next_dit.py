"""NextDiT, the transformer of Lumina 2 and Z-Image: text and picture refined apart, then joined.

Modules have diffusers' names for Z-Image. (ComfyUI comfy/ldm/lumina/model.py)
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.call import DitCall
from diffusion.dit.next_dit_shape import PLACE, NextDitShape
from diffusion.dit.rotary import rotated, rotations
from diffusion.dit.tokens import PATCH, padded, patched, tokens_along, unpatched
from diffusion.networks.compiling import Blocks
from diffusion.networks.layers import sinusoids

EPS = 1e-5
Places: TypeAlias = tuple[Tensor, Tensor]  # cosines and sines of where tokens lie
WAVES = 256  # numbers that tell the time


class Attention(nn.Module):
    """All tokens see all others."""

    def __init__(self, shape: NextDitShape) -> None:
        super().__init__()
        inner, shared = shape.heads * shape.head, shape.kv_heads * shape.head
        self.head = shape.head
        self.to_q = nn.Linear(shape.width, inner, bias=False)
        self.to_k = nn.Linear(shape.width, shared, bias=False)
        self.to_v = nn.Linear(shape.width, shared, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, shape.width, bias=False)])
        self.norm_q = nn.RMSNorm(shape.head, eps=EPS)
        self.norm_k = nn.RMSNorm(shape.head, eps=EPS)

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (-1, self.head)) for layer in (self.to_q, self.to_k, self.to_v)
        )
        q, k = rotated(self.norm_q(q), places), rotated(self.norm_k(k), places)
        seen = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            enable_gqa=q.shape[2] != k.shape[2],
        )
        answer: Tensor = self.to_out[0](seen.transpose(1, 2).flatten(2))
        return answer


class Perceptron(nn.Module):
    """Two layers, the first gated."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.w2(functional.silu(self.w1(x)) * self.w3(x))
        return answer


class Block(nn.Module):
    """Attention and perceptron between norms; one that is `told` the time goes by it."""

    def __init__(self, shape: NextDitShape, *, is_modulated: bool) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.feed_forward = Perceptron(shape.width, shape.mlp)
        self.attention_norm1 = nn.RMSNorm(shape.width, eps=EPS)
        self.attention_norm2 = nn.RMSNorm(shape.width, eps=EPS)
        self.ffn_norm1 = nn.RMSNorm(shape.width, eps=EPS)
        self.ffn_norm2 = nn.RMSNorm(shape.width, eps=EPS)
        modulation = nn.Linear(shape.time_width, 4 * shape.width) if is_modulated else None
        self.adaLN_modulation = (
            None
            if modulation is None
            else nn.Sequential(*([nn.SiLU()] if shape.activated else []), modulation)
        )

    def forward(
        self, x: Tensor, places: tuple[Tensor, Tensor], vector: Tensor | None = None
    ) -> Tensor:
        """`x` [N, T, D], `vector` [N, V] of the time."""
        if self.adaLN_modulation is None or vector is None:
            x = x + self.attention_norm2(self.attention(self.attention_norm1(x), places))
            refined: Tensor = x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
            return refined
        scale, gate, mlp_scale, mlp_gate = self.adaLN_modulation(vector)[:, None].chunk(4, dim=-1)
        heard = self.attention(self.attention_norm1(x) * (1 + scale), places)
        x = x + gate.tanh() * self.attention_norm2(heard)
        heard = self.feed_forward(self.ffn_norm1(x) * (1 + mlp_scale))
        modulated: Tensor = x + mlp_gate.tanh() * self.ffn_norm2(heard)
        return modulated


class Head(nn.Module):
    """Tokens to latent pixels."""

    def __init__(self, shape: NextDitShape) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.width, shape.out_channels * PATCH**2)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(shape.time_width, shape.width))

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        normed = functional.layer_norm(x, x.shape[-1:], eps=1e-6)
        answer: Tensor = self.linear(normed * (1 + self.adaLN_modulation(vector)[:, None]))
        return answer


class TimeEmbedder(nn.Module):
    """The time as a vector."""

    def __init__(self, hidden: int, out: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(WAVES, hidden), nn.SiLU(), nn.Linear(hidden, out))

    def forward(self, times: Tensor, dtype: torch.dtype) -> Tensor:
        vector: Tensor = self.mlp(sinusoids(times, WAVES).to(dtype))
        return vector


class NextDit(nn.Module):
    """The parameters. `next_dit` calls it."""

    def __init__(self, shape: NextDitShape) -> None:
        super().__init__()
        self.shape = shape
        pixels = shape.in_channels * PATCH**2
        self.all_x_embedder = nn.ModuleDict({PLACE: nn.Linear(pixels, shape.width)})
        self.all_final_layer = nn.ModuleDict({PLACE: Head(shape)})
        self.t_embedder = TimeEmbedder(shape.time_hidden, shape.time_width)
        self.cap_embedder = nn.Sequential(
            nn.RMSNorm(shape.context_dim, eps=EPS), nn.Linear(shape.context_dim, shape.width)
        )
        self.noise_refiner = _blocks(shape, shape.refiners, is_modulated=True)
        self.context_refiner = _blocks(shape, shape.refiners, is_modulated=False)
        self.layers = _blocks(shape, shape.layers, is_modulated=True)
        if shape.multiple > 1:
            self.x_pad_token = nn.Parameter(torch.empty(1, shape.width))
            self.cap_pad_token = nn.Parameter(torch.empty(1, shape.width))


def _blocks(shape: NextDitShape, count: int, *, is_modulated: bool) -> nn.ModuleList:
    return nn.ModuleList(Block(shape, is_modulated=is_modulated) for _ in range(count))


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens, may be any number."""
    return {type(block): ((0, 1), (0,), (0,)) for block in module.layers}


def next_dit(module: NextDit, call: DitCall) -> Tensor:
    """The velocity that it sees. Lists of tokens are filled up with tokens of its own."""
    shape, head = module.shape, module.all_final_layer[PLACE]
    embedder: Any = module.all_x_embedder[PLACE]
    dtype = embedder.bias.dtype
    sample = padded(call.sample)
    vector = module.t_embedder((1.0 - call.times) * shape.time_scale, dtype)
    text = module.cap_embedder(call.context.to(dtype))
    picture = embedder(patched(sample).to(dtype))
    own = picture.shape[1]
    if shape.multiple > 1:
        text = filled_up(text, module.cap_pad_token, shape.multiple)
        picture = filled_up(picture, module.x_pad_token, shape.multiple)
    positions = placed(text.shape[1], picture.shape[1], *map(tokens_along, sample.shape[-2:]))
    cosines, sines = rotations(positions.to(text.device), shape.axes, shape.theta)
    words = text.shape[1]
    for block in module.context_refiner:
        text = block(text, (cosines[:words], sines[:words]))
    places = (cosines[words:], sines[words:])
    controls = [p.loaded.begun(p.guide, places, vector, p.strength) for p in call.behind]
    entering = picture
    for index, block in enumerate(module.noise_refiner):
        picture = block(picture, places, vector)
        for control in controls:
            picture = control.behind_refiner(index, entering, picture)
    both = torch.cat([text, picture], dim=1)
    for index, block in enumerate(module.layers):
        both = block(both, (cosines, sines), vector)
        for control in controls:
            picture_part = both[:, words:]
            heard = control.behind(index, picture, picture_part)
            if heard is not picture_part:
                both = torch.cat([both[:, :words], heard], dim=1)
    velocity = head(both[:, words : words + own], vector)
    return -unpatched(velocity, *call.sample.shape[-2:])


def filled_up(tokens: Tensor, pad: Tensor, multiple: int) -> Tensor:
    """Tokens [N, T, D] with pads behind them, until they are a multiple of so many."""
    missing = -tokens.shape[1] % multiple
    return torch.cat([tokens, pad.expand(len(tokens), missing, -1)], dim=1)


def placed(words: int, tokens: int, rows: int, columns: int) -> Tensor:
    """Where tokens lie, [T, 3]: words one after the other, then the picture beside the next one.

    What fills up the picture lies nowhere.
    """
    text = functional.pad(torch.arange(1, words + 1)[:, None], (0, 2))
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    picture = functional.pad(grid, (1, 0), value=words + 1)
    return torch.cat([text, functional.pad(picture, (0, 0, 0, tokens - len(grid)))])
