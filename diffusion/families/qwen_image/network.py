"""Qwen-Image's transformer, and its call."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.call import Added, DitCall, plus
from diffusion.dit.rotary import rotations
from diffusion.dit.tokens import PATCH, packed, tokens_along, unpacked
from diffusion.families.qwen_image.blocks import EPS, Block
from diffusion.families.qwen_image.shapes import QwenImageShape
from diffusion.networks.compiling import Blocks
from diffusion.networks.layers import Embedding, sinusoids

WAVES = 256  # numbers that tell the time
THETA = 10_000.0
ZERO = "index_timestep_zero"  # references are told that they have no noise


class TimeEmbedder(nn.Module):
    """The time as a vector."""

    def __init__(self, width: int, *, layered: bool) -> None:
        super().__init__()
        self.timestep_embedder = Embedding(WAVES, width)
        if layered:
            self.addition_t_embedding = nn.Embedding(2, width)

    def forward(self, times: Tensor, dtype: torch.dtype) -> Tensor:
        """[N] -> [N, D]."""
        vector: Tensor = self.timestep_embedder(sinusoids(times, WAVES, scale=1000).to(dtype))
        if hasattr(self, "addition_t_embedding"):
            vector = vector + self.addition_t_embedding.weight[0].to(vector)
        return vector


class LastNorm(nn.Module):
    """A norm that goes by the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        scale, shift = self.linear(functional.silu(vector))[:, None].chunk(2, dim=-1)
        answer: Tensor = functional.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift
        return answer


class QwenImage(nn.Module):
    """The parameters. `qwen_image` calls it."""

    def __init__(self, shape: QwenImageShape) -> None:
        super().__init__()
        self.shape = shape
        self.img_in = nn.Linear(shape.in_channels * PATCH**2, shape.width)
        self.txt_norm = nn.RMSNorm(shape.context_dim, eps=EPS)
        self.txt_in = nn.Linear(shape.context_dim, shape.width)
        self.time_text_embed = TimeEmbedder(shape.width, layered=shape.layered)
        self.transformer_blocks = nn.ModuleList(
            Block(shape.width, shape.mlp, shape.head) for _ in range(shape.layers)
        )
        self.norm_out = LastNorm(shape.width)
        self.proj_out = nn.Linear(shape.width, shape.out_channels * PATCH**2)


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    picture, text, times, tables = (0,), (0, 1), (0,), (0,)
    return {type(block): (picture, text, times, tables) for block in module.transformer_blocks}


def qwen_image(module: QwenImage, call: DitCall) -> Tensor:
    """The velocity that it sees. The sample is [N, C, T, h, w], references too."""
    shape, dtype = module.shape, module.proj_out.bias.dtype
    pictures = [call.sample, *call.references]
    tokens = [packed_frames(picture).to(dtype) for picture in pictures]
    own = tokens[0].shape[1]
    picture = module.img_in(torch.cat(tokens, dim=1))
    text = module.txt_in(module.txt_norm(call.context.to(dtype)))
    positions = placed(text.shape[1], pictures, call.places).to(text.device)
    places = rotations(positions, shape.axes, THETA)
    vector = module.time_text_embed(call.times, dtype)
    times = vector[:, None]
    if call.references and call.places == ZERO:
        still = module.time_text_embed(torch.zeros_like(call.times), dtype)[:, None]
        times = torch.cat(
            [times.expand(-1, own, -1), still.expand(-1, picture.shape[1] - own, -1)], dim=1
        )
    added = call.added or Added()
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            picture, text = block(picture, text, times, places)
        for behind in call.behind:
            picture = picture + behind(index, picture)
        picture = plus(picture, added.double, index)
    velocity = module.proj_out(module.norm_out(picture[:, :own], vector))
    return unpacked_frames(velocity, call.sample)


def packed_frames(sample: Tensor) -> Tensor:
    """[N, C, T, h, w] as tokens, frame after frame."""
    frames = packed(sample.movedim(2, 1).flatten(0, 1))
    tokens: Tensor = frames.unflatten(0, (len(sample), -1)).flatten(1, 2)
    return tokens


def unpacked_frames(tokens: Tensor, like: Tensor) -> Tensor:
    """Tokens as [N, c, T, h, w] with the frames and the size of `like`."""
    frames = like.shape[2]
    pictures = unpacked(tokens.unflatten(1, (frames, -1)).flatten(0, 1), *like.shape[-2:])
    whole: Tensor = pictures.unflatten(0, (len(tokens), frames)).movedim(1, 2)
    return whole


def placed(words: int, pictures: Sequence[Tensor], method: str) -> Tensor:
    """Where tokens lie, [T, 3]: text on a diagonal from the picture's edge, pictures centered."""
    first, *references = pictures
    rows, columns = (tokens_along(side) for side in first.shape[-2:])
    start = max(rows // 2, columns // 2)
    text = torch.arange(start, start + words)[:, None].expand(-1, 3)
    grids = [text, _grid(first, 0, 0, 0)]
    down = right = 0  # latent pixels that references take up so far
    for number, reference in enumerate(references, start=1):
        height, width = reference.shape[-2:]
        picture, y, x = number, 0, 0
        if method == "negative_index":
            picture = -number
        elif method not in ("index", ZERO):
            picture = 1
            if height + down > width + right:
                x = right
            else:
                y = down
            down, right = max(down, height + y), max(right, width + x)
        grids.append(_grid(reference, picture, tokens_along(y), tokens_along(x)))
    return torch.cat(grids)


def _grid(picture: Tensor, index: int, y: int, x: int) -> Tensor:
    frames, height, width = picture.shape[2:]
    rows, columns = tokens_along(height), tokens_along(width)
    return torch.cartesian_prod(
        torch.arange(frames) if frames > 1 else torch.tensor([index]),
        torch.arange(rows) + y - rows // 2,
        torch.arange(columns) + x - columns // 2,
    )
