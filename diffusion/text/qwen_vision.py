"""The vision tower of Qwen2.5-VL: pictures as vectors that stand in a prompt.

Most blocks look within windows, every eighth one at all of a picture; tokens lie window by window.
Modules have the names that files give them. (ComfyUI comfy/text_encoders/qwen_vl.py)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.text.filling import fill_narrow
from diffusion.weights import Weights

PATCH = 14  # pixels along a side of a patch
MERGED = 2  # patches along a side of what becomes one vector
WINDOW = 4  # vectors along a side of a window
WHOLE = 8  # the last of so many blocks looks at all of a picture
HEAD = 80
THETA = 10_000.0
EPS = 1e-6
LEAST, MOST = 56 * 56, 12_845_056  # pixels
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionShape:
    """A vision tower, as the names and shapes of its tensors tell it."""

    pixels: int  # numbers of a patch
    width: int
    mlp: int
    layers: int
    out: int


def read_vision_shape(part: Weights) -> VisionShape:
    """Raises BadModelFile: it is incomplete."""
    try:
        width, *pixels = part.shape("patch_embed.proj.weight")
        numbers = {int(key.split(".")[1]) for key in part if key.startswith("blocks.")}
        return VisionShape(
            pixels=math.prod(pixels),
            width=width,
            mlp=part.shape("blocks.0.mlp.gate_proj.weight")[0],
            layers=len(numbers),
            out=part.shape("merger.mlp.2.weight")[0],
        )
    except (KeyError, IndexError, ValueError) as error:
        raise part.bad(problem=f"its vision tower is incomplete: {error}") from error


class Attention(nn.Module):
    """Patches of one window see each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor], lengths: list[int]) -> Tensor:
        """`x` [T, D], of windows of these lengths."""
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, HEAD)).permute(1, 2, 0, 3)  # [H, T, head]
        q, k = _turned(q, places), _turned(k, places)
        parts = zip(*(each.split(lengths, dim=1) for each in (q, k, v)), strict=True)
        seen = [functional.scaled_dot_product_attention(*(e[None] for e in part)) for part in parts]
        answer: Tensor = self.proj(torch.cat(seen, dim=2)[0].transpose(0, 1).flatten(1))
        return answer


class Perceptron(nn.Module):
    """Two layers, the first gated."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden)
        self.up_proj = nn.Linear(width, hidden)
        self.down_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return answer


class Block(nn.Module):
    """Attention and perceptron, each beside an identity."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(shape.width, eps=EPS)
        self.norm2 = nn.RMSNorm(shape.width, eps=EPS)
        self.attn = Attention(shape.width)
        self.mlp = Perceptron(shape.width, shape.mlp)

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor], lengths: list[int]) -> Tensor:
        x = x + self.attn(self.norm1(x), places, lengths)
        answer: Tensor = x + self.mlp(self.norm2(x))
        return answer


class PatchEmbedder(nn.Module):
    """Patches as vectors. Files have it as a convolution whose stride is its size."""

    def __init__(self, pixels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(pixels, width, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        vectors: Tensor = self.proj(patches)
        return vectors


class Merger(nn.Module):
    """Four patches as one vector."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        joined = width * MERGED**2
        self.ln_q = nn.RMSNorm(width, eps=EPS)
        self.mlp = nn.Sequential(nn.Linear(joined, joined), nn.GELU(), nn.Linear(joined, out))

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.mlp(self.ln_q(x).unflatten(0, (-1, MERGED**2)).flatten(1))
        return vectors


class VisionTower(nn.Module):
    """All of it."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedder(shape.pixels, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.merger = Merger(shape.width, shape.out)

    def forward(self, picture: Tensor) -> Tensor:
        """A picture [H, W, 3] in 0..1 as vectors [rows * columns of its `grid`, D]."""
        rows, columns = grid(*picture.shape[:2])
        order, lengths = windows(rows, columns)
        group = MERGED**2
        x = self.patch_embed(patches(picture, rows, columns))
        x = x.unflatten(0, (-1, group))[order].flatten(0, 1)
        angles = _angles(rows, columns).unflatten(0, (-1, group))[order].flatten(0, 1).to(x.device)
        places = angles.cos(), angles.sin()
        sizes = [length * group for length in lengths]
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, places, sizes if number % WHOLE else [len(x)])
        vectors: Tensor = self.merger(x)
        return vectors


def load_tower(part: Weights, dtype: torch.dtype, device: torch.device) -> VisionTower:
    """The vision tower in `part`, named without prefix.

    Raises:
        BadModelFile: it is incomplete.
    """
    shape = read_vision_shape(part)
    with torch.device("meta"):
        tower = VisionTower(shape)
    fill_narrow(tower, part, dtype, device, reshaped=lambda tensor: tensor.flatten(1))
    return tower


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of vectors for a picture of so many pixels."""
    side = PATCH * MERGED
    rows, columns = round(height / side), round(width / side)
    pixels = rows * columns * side**2
    if pixels > MOST:
        shrunk = math.sqrt(height * width / MOST)
        rows = max(1, math.floor(height / shrunk / side))
        columns = max(1, math.floor(width / shrunk / side))
    elif pixels < LEAST:
        grown = math.sqrt(LEAST / (height * width))
        rows, columns = math.ceil(height * grown / side), math.ceil(width * grown / side)
    return rows, columns


def patches(picture: Tensor, rows: int, columns: int) -> Tensor:
    """[rows * columns * 4, numbers], the four of one vector one after the other.

    A picture counts as two frames that are the same.
    """
    side = PATCH * MERGED
    size = (rows * side, columns * side)
    pixels = functional.interpolate(picture.movedim(-1, 0)[None, :3], size, mode="bilinear")[0]
    mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (MEAN, STD))
    parts = ((pixels - mean) / std).reshape(3, rows, MERGED, PATCH, columns, MERGED, PATCH)
    ordered = parts.permute(1, 4, 2, 5, 0, 3, 6)  # row, column, patch of the vector, channel, pixel
    return (
        ordered[:, :, :, :, :, None]
        .expand(-1, -1, -1, -1, -1, 2, -1, -1)
        .reshape(rows * columns * MERGED**2, -1)
    )


def windows(rows: int, columns: int) -> tuple[Tensor, list[int]]:
    """The vectors of a grid window by window, and how many each window has."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    across = -(-columns // WINDOW)
    number = ((y // WINDOW) * across + x // WINDOW).flatten()
    order = torch.argsort(number, stable=True)
    return order, torch.bincount(number).tolist()


def _angles(rows: int, columns: int) -> Tensor:
    """[patches, HEAD], in the order of `patches`: half of them tell the row, half the column."""
    place = torch.arange(MERGED)
    shape = (rows, columns, MERGED, MERGED)
    y = (torch.arange(rows) * MERGED)[:, None, None, None] + place[:, None]
    x = (torch.arange(columns) * MERGED)[:, None, None] + place
    waves = 1.0 / THETA ** (torch.arange(0, HEAD // 2, 2).float() / (HEAD // 2))
    both = [each.expand(shape).flatten()[:, None].float() * waves for each in (y, x)]
    return torch.cat(both, dim=-1).repeat(1, 2)


def _turned(heads: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * places[0] + torch.cat([-second, first], dim=-1) * places[1]
