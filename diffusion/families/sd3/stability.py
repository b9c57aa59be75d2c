"""Stability's ControlNets for Stable Diffusion 3.5 Large: Blur, Canny and Depth.

Their blocks see the picture and its hint, and no text. Layers of the model are theirs too: the one
that reads the picture or, of those whose vector has the width of a block, the one that reads the
prompt's. (ComfyUI comfy/cldm/dit_embedder.py; comfy/controlnet.py, `load_controlnet_sd35`)
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.call import Added
from diffusion.dit.control import Heard
from diffusion.dit.pieces import Piece, by_source, thirds
from diffusion.dit.reading import counted
from diffusion.dit.tokens import PATCH, padded, tokens_along
from diffusion.families.family import LoadedModel
from diffusion.families.sd3.control import Sd3Control
from diffusion.families.sd3.loading import LATENT
from diffusion.families.sd3.shapes import HEAD, Sd3Shape
from diffusion.latent_format import process_in
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

MARK = "transformer_blocks.0.adaLN_modulation.1.bias"
KIND = "control_type"  # a number: which picture it goes by
CANNY, DEPTH = 1, 2
CENTER = 7.5  # of the positions along the shorter side, which go from 0 to twice as much
LONGEST_WAVE = 10_000
EMBEDDERS: Mapping[str, str] = {
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "x_embedder.proj": "pos_embed.proj",
}
VECTOR = ("y_embedder.mlp.0.weight", f"{EMBEDDERS['y_embedder.mlp.0']}.weight")


class StabilityControl(Sd3Control):
    """One set of weights, with the layers of the model that it was loaded for."""

    def __init__(self, module: Any, kind: int, model: LoadedModel) -> None:
        assert isinstance(model.shape, Sd3Shape)
        super().__init__(module, model.shape)
        base: Any = model.module
        self._kind = kind
        self._own_picture = hasattr(module, "pos_embed")
        self._first = module.pos_embed.proj if self._own_picture else base.pos_embed.proj
        self._vector = base.time_text_embed.text_embedder

    def prepared(self, picture: Tensor) -> Tensor:
        """A picture [B, H, W, C] as it is to be made latents of."""
        if self._kind == CANNY:
            return picture * 255 * 0.5 + 0.5
        return 1.0 - picture if self._kind == DEPTH else picture

    def scaled(self, latents: Tensor) -> Tensor:
        return process_in(LATENT, latents)

    def behind(self, heard: Heard) -> Added:
        picture, pooled = _tokens(self._first, heard.sample), heard.pooled
        if self._own_picture:
            pooled = self._vector(pooled)
        else:
            rows, columns = (tokens_along(side) for side in heard.sample.shape[-2:])
            picture = picture + positions(picture.shape[-1], rows, columns).to(picture)
        vector = self._module.time_text_embed(heard.times, pooled)
        picture = picture + _tokens(self._module.pos_embed_input.proj, heard.hint)
        behind = []
        blocks = self._module.transformer_blocks
        for block, out in zip(blocks, self._module.controlnet_blocks, strict=True):
            seen = block(picture, vector)
            if not self._own_picture:
                picture = seen
            behind.append(out(seen))
        return Added(tuple(behind))

    def spread(self, added: Added, shape: Any) -> Added:
        """For every block, the last one too; neighbours hear the same."""
        assert isinstance(shape, Sd3Shape)
        times = -(-shape.depth // len(added.double))
        return Added(tuple(t for t in added.double for _ in range(times))[: shape.depth])


def _tokens(layer: nn.Module, sample: Tensor) -> Tensor:
    tokens: Tensor = layer(padded(sample)).flatten(2).transpose(1, 2)
    return tokens


def positions(width: int, rows: int, columns: int) -> Tensor:
    """[rows * columns, width]: waves of where a token lies, the shorter side's length the unit."""
    shorter = min(rows, columns)
    y, x = (_along(count, CENTER * count / shorter) for count in (rows, columns))
    waves = LONGEST_WAVE ** -(torch.arange(width // 4) / (width // 4))
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    turned = [grid.reshape(-1, 1) * waves for grid in (grid_x, grid_y)]
    return torch.cat([part for angle in turned for part in (angle.sin(), angle.cos())], dim=1)


def _along(count: int, half: float) -> Tensor:
    return torch.linspace(CENTER - half, CENTER + half, count)


def load_stability_control(
    weights: Weights, model: LoadedModel, *, dtype: torch.dtype, device: torch.device
) -> StabilityControl:
    """The ControlNet of a file that holds one of this kind, for a model.

    Raises:
        BadModelFile: it is incomplete, or for models of another kind or width.
    """
    width, vector = next((weights.shape(key) for key in VECTOR if key in weights), (0, 0))
    if not width or width % HEAD:
        raise weights.bad(problem=f"its ControlNet has blocks of width {width}")
    if not isinstance(model.shape, Sd3Shape):
        problem = "it is a ControlNet for Stable Diffusion 3, which this model is not"
        raise weights.bad(problem=problem)
    doubled = vector == width
    expected = width if doubled else model.shape.y_dim
    if (width, vector) != (model.shape.width, expected):
        problem = f"it is a ControlNet for models of width {width}, this model's is "
        raise weights.bad(problem=f"{problem}{model.shape.width}")
    depth = counted(weights, "transformer_blocks.{}.")
    module = stability_module(width, depth, vector, doubled=doubled)
    wanted = {name for name, _ in module.named_parameters()}
    named = _read(weights, width, depth)
    tensors = {name: copied(t, dtype, device) for name, t in named if name in wanted}
    fill(module, weights, tensors)
    kind = round(float(weights[KIND].flatten()[0])) if KIND in weights else -1
    return StabilityControl(module, kind, model)


def stability_module(width: int, depth: int, vector: int, *, doubled: bool) -> Any:
    """Its layers on the meta device, named as diffusers names them."""
    from diffusers.models import embeddings  # noqa: PLC0415 - takes seconds
    from diffusers.models.transformers.transformer_sd3 import (  # noqa: PLC0415
        SD3SingleTransformerBlock,
    )

    kind: Any = embeddings.CombinedTimestepTextProjEmbeddings
    block: Any = SD3SingleTransformerBlock
    with torch.device("meta"):
        module: Any = nn.Module()
        module.time_text_embed = kind(width, vector)
        for name in ("pos_embed_input", "pos_embed")[: 1 + doubled]:
            layer = nn.Conv2d(LATENT.channels, width, PATCH, stride=PATCH)
            setattr(module, name, nn.Sequential(OrderedDict(proj=layer)))
        blocks = (block(width, width // HEAD, HEAD) for _ in range(depth))
        module.transformer_blocks = nn.ModuleList(blocks)
        module.controlnet_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
    return module


def stability_pieces(width: int, depth: int) -> Iterator[Piece]:
    """The layers whose names differ in Stability's files."""
    for theirs, ours in EMBEDDERS.items():
        yield Piece(ours, theirs)
    for block in (f"transformer_blocks.{i}" for i in range(depth)):
        yield from thirds(f"{block}.attn", f"{block}.attn.qkv", width)
        yield Piece(f"{block}.attn.to_out.0", f"{block}.attn.proj")
        yield Piece(f"{block}.norm1.linear", f"{block}.adaLN_modulation.1")
        yield Piece(f"{block}.ff.net.0.proj", f"{block}.mlp.fc1")
        yield Piece(f"{block}.ff.net.2", f"{block}.mlp.fc2")


def _read(weights: Weights, width: int, depth: int) -> Iterator[tuple[str, Tensor]]:
    """diffusers' name and the tensor, of all tensors of the file."""
    sources = by_source(stability_pieces(width, depth))
    for key in weights:
        layer, _, leaf = key.rpartition(".")
        for piece in sources.get(layer, [Piece(layer, layer)]):
            yield f"{piece.module}.{leaf}", piece.of(weights[key])
