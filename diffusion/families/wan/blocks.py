"""The parts of Wan's transformer. Parameters have the published files' names.

(Wan Team 2025, "Wan: Open and Advanced Large-Scale Video Generative Models", 4.2)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-6
HEAD = 128
UNSHUFFLED = 8  # pixels along a side that camera paths bring together

Rope: TypeAlias = tuple[Tensor, Tensor]  # cosines and sines [T, HEAD / 2]


class Attention(nn.Module):
    """Attention whose queries and keys are normed over all heads together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(width, eps=EPS) for _ in range(2))


class SelfAttention(Attention):
    """All tokens to each other, which are told where they lie."""

    def forward(self, x: Tensor, rope: Rope) -> Tensor:
        q, k = (turned(part, rope) for part in (self.norm_q(self.q(x)), self.norm_k(self.k(x))))
        out: Tensor = self.o(attended(q, k, self.v(x)))
        return out


class CrossAttention(Attention):
    """To the text, and, of models that see pictures, to the states of an image encoder."""

    def __init__(self, width: int, *, sees: bool) -> None:
        super().__init__(width)
        self.k_img = nn.Linear(width, width) if sees else None
        self.v_img = nn.Linear(width, width) if sees else None
        self.norm_k_img = nn.RMSNorm(width, eps=EPS) if sees else None

    def forward(self, x: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        """`context`: the text and, of models that see, what is seen; the text twice is allowed."""
        q = self.norm_q(self.q(x))
        answer = attended(q, self.norm_k(self.k(context[0])), self.v(context[0]))
        if self.k_img is not None and self.v_img is not None and self.norm_k_img is not None:
            seen = context[1]
            answer = answer + attended(q, self.norm_k_img(self.k_img(seen)), self.v_img(seen))
        out: Tensor = self.o(answer)
        return out


class Block(nn.Module):
    """Attention to the video, attention to the prompt, and a perceptron."""

    def __init__(self, width: int, mlp: int, *, sees: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.self_attn = SelfAttention(width)
        self.norm3 = nn.LayerNorm(width, EPS)
        self.cross_attn = CrossAttention(width, sees=sees)
        self.norm2 = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(width, mlp), nn.GELU(approximate="tanh"), nn.Linear(mlp, width)
        )
        self.modulation = nn.Parameter(torch.empty(1, 6, width))

    def forward(self, x: Tensor, time: Tensor, rope: Rope, context: tuple[Tensor, ...]) -> Tensor:
        """x [N, T, D], time [N, 1 or frames, 6, D]."""
        modulated = [over_tokens(e, x) for e in (self.modulation.unsqueeze(1) + time).unbind(2)]
        shift, scale, gate = modulated[:3]
        x = x + self.self_attn(self.norm1(x) * (1 + scale) + shift, rope) * gate
        x = x + self.cross_attn(self.norm3(x), context)
        shift, scale, gate = modulated[3:]
        changed: Tensor = self.ffn(self.norm2(x) * (1 + scale) + shift) * gate
        return x + changed


class VaceBlock(Block):
    """A block that carries a control, and what it says behind a block of the model."""

    def __init__(self, width: int, mlp: int, *, first: bool) -> None:
        super().__init__(width, mlp, sees=False)
        self.before_proj = nn.Linear(width, width) if first else None
        self.after_proj = nn.Linear(width, width)


class Head(nn.Module):
    """Tokens to the pixels of their patches."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.head = nn.Linear(width, out)
        self.modulation = nn.Parameter(torch.empty(1, 2, width))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """time [N, 1 or frames, D]."""
        both = self.modulation.unsqueeze(1) + time.unsqueeze(2)
        shift, scale = (over_tokens(e, x) for e in both.unbind(2))
        out: Tensor = self.head(self.norm(x) * (1 + scale) + shift)
        return out


class ImageProjection(nn.Module):
    """The states of an image encoder as the blocks read them."""

    def __init__(self, into: int, out: int, tokens: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(into), nn.Linear(into, into), nn.GELU(), nn.Linear(into, out)
        )
        self.proj.append(nn.LayerNorm(out))
        self.emb_pos = nn.Parameter(torch.empty(1, tokens, into)) if tokens else None

    def forward(self, seen: Tensor) -> Tensor:
        if self.emb_pos is not None:
            seen = seen[:, : self.emb_pos.shape[1]]
            seen = seen + self.emb_pos[:, : seen.shape[1]]
        out: Tensor = self.proj(seen)
        return out


class CameraLayer(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv2(functional.relu(self.conv1(x)))
        return x + changed


class CameraAdapter(nn.Module):
    """The path of a camera, told for every pixel, as it is added to tokens."""

    def __init__(self, into: int, width: int, layers: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, width, patch, stride=patch)
        self.residual_blocks = nn.Sequential(*(CameraLayer(width) for _ in range(layers)))

    def forward(self, path: Tensor) -> Tensor:
        """[N, C, T, H, W] -> [N, D, T, rows, columns]."""
        pictures = functional.pixel_unshuffle(path.transpose(1, 2).flatten(0, 1), UNSHUFFLED)
        modulated: Tensor = self.residual_blocks(self.conv(pictures))
        frames: Tensor = modulated.unflatten(0, (len(path), -1))
        return frames.transpose(1, 2)


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[N, T, D] each, heads side by side."""
    q, k, v = (part.unflatten(2, (-1, HEAD)).transpose(1, 2) for part in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def turned(x: Tensor, rope: Rope) -> Tensor:
    """Pairs of channels [N, T, D], of each head, turned by where their token lies."""
    cosines, sines = (part[:, None] for part in rope)
    pairs = x.float().unflatten(2, (-1, HEAD // 2, 2))
    a, b = pairs.unbind(-1)
    both = torch.stack([a * cosines - b * sines, a * sines + b * cosines], dim=-1)
    return both.flatten(2).to(x.dtype)


def over_tokens(e: Tensor, x: Tensor) -> Tensor:
    """What each frame is told [N, frames, D], for each of its tokens; one for all stays so.

    Tokens that no frame has beside the video's own make what is told last longer.
    (ComfyUI comfy/ldm/wan/model.py, `repeat_e`)
    """
    frames, tokens = e.shape[1], x.shape[1]
    if frames == 1:
        return e
    return e.repeat_interleave(-(-tokens // frames), dim=1)[:, :tokens]


@dataclass(frozen=True)
class Axis:
    """Where tokens along one side of a video lie: the first, and how far apart."""

    start: float = 0.0
    step: float = 1.0


def rope_of(
    sides: Sequence[int],
    device: torch.device,
    axes: Sequence[Axis] = (Axis(), Axis(), Axis()),
    source: int = 0,
) -> Rope:
    """Where tokens of a video of frames, rows and columns lie. (Su et al. 2021)

    Those of a `source` beside the video are turned once more, all of their channels by its number.
    """
    beside = 2 * (HEAD // 6)
    dims = (HEAD - 2 * beside, beside, beside)
    angles = []
    for axis, (side, dim) in enumerate(zip(sides, dims, strict=True)):
        waves = 10_000.0 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        places = axes[axis].start + torch.arange(side, dtype=torch.float64) * axes[axis].step
        along = places[:, None] * waves
        shape = [1, 1, 1, dim // 2]
        shape[axis] = side
        angles.append(along.view(shape).expand(*sides, dim // 2))
    angle = torch.cat(angles, dim=-1).flatten(0, 2)
    angle = angle + source * 10_000.0 ** -(torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    return angle.cos().float().to(device), angle.sin().float().to(device)
