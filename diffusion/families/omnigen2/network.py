"""The transformer of OmniGen2: a NextDiT with blocks of their own for pictures to go by."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.call import DitCall
from diffusion.dit.next_dit import EPS, Block, Head, TimeEmbedder
from diffusion.dit.next_dit_shape import NextDitShape
from diffusion.dit.rotary import rotations
from diffusion.dit.tokens import PATCH, padded, patched, tokens_along, unpatched
from diffusion.families.omnigen2.shapes import REFERENCES


class OmniGen2(nn.Module):
    """The parameters. `omnigen2` calls it."""

    def __init__(self, shape: NextDitShape) -> None:
        super().__init__()
        self.shape = shape
        pixels = shape.in_channels * PATCH**2
        self.x_embedder = nn.Linear(pixels, shape.width)
        self.ref_image_patch_embedder = nn.Linear(pixels, shape.width)
        self.image_index_embedding = nn.Parameter(torch.empty(REFERENCES, shape.width))
        self.t_embedder = TimeEmbedder(shape.time_hidden, shape.time_width)
        self.cap_embedder = nn.Sequential(
            nn.RMSNorm(shape.context_dim, eps=EPS), nn.Linear(shape.context_dim, shape.width)
        )
        self.noise_refiner = _blocks(shape, shape.refiners, is_modulated=True)
        self.ref_image_refiner = _blocks(shape, shape.refiners, is_modulated=True)
        self.context_refiner = _blocks(shape, shape.refiners, is_modulated=False)
        self.layers = _blocks(shape, shape.layers, is_modulated=True)
        self.final_layer = Head(shape)


def _blocks(shape: NextDitShape, count: int, *, is_modulated: bool) -> nn.ModuleList:
    return nn.ModuleList(Block(shape, is_modulated=is_modulated) for _ in range(count))


def omnigen2(module: OmniGen2, call: DitCall) -> Tensor:
    """The velocity that it sees: words, pictures to go by and the picture in one sequence."""
    shape, dtype = module.shape, module.x_embedder.bias.dtype
    vector = module.t_embedder((1.0 - call.times) * shape.time_scale, dtype)
    text = module.cap_embedder(call.context.to(dtype))
    pictures = [padded(picture) for picture in (*call.references, call.sample)]
    positions = placed(text.shape[1], pictures).to(text.device)
    cosines, sines = rotations(positions, shape.axes, shape.theta)

    def refined(blocks: Any, tokens: Tensor, start: int, *modulation: Tensor) -> Tensor:
        places = (table[start : start + tokens.shape[1]] for table in (cosines, sines))
        own = tuple(places)
        for block in blocks:
            tokens = block(tokens, own, *modulation)
        return tokens

    words = text.shape[1]
    sequence = [refined(module.context_refiner, text, 0)]
    if call.references:
        embedded = [
            module.ref_image_patch_embedder(patched(picture).to(dtype)) + index
            for picture, index in zip(pictures[:-1], module.image_index_embedding, strict=False)
        ]
        references = torch.cat(embedded, dim=1)
        sequence.append(refined(module.ref_image_refiner, references, words, vector))
    before = sum(tokens.shape[1] for tokens in sequence)
    picture = module.x_embedder(patched(pictures[-1]).to(dtype))
    sequence.append(refined(module.noise_refiner, picture, before, vector))
    both = refined(module.layers, torch.cat(sequence, dim=1), 0, vector)
    velocity = module.final_layer(both[:, before:], vector)
    return -unpatched(velocity, *call.sample.shape[-2:])


def placed(words: int, pictures: Sequence[Tensor]) -> Tensor:
    """Where tokens lie, [T, 3]: words on a diagonal, then pictures beside each other."""
    grids = [torch.arange(words)[:, None].expand(-1, 3)]
    at = words
    for picture in pictures:
        rows, columns = map(tokens_along, picture.shape[-2:])
        own = (torch.tensor([at]), torch.arange(rows), torch.arange(columns))
        grids.append(torch.cartesian_prod(*own))
        at += max(rows, columns)
    return torch.cat(grids)
