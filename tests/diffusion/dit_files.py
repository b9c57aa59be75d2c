"""Narrow transformers of random weights in the layouts of published files, and their parts."""

from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from diffusion.batch.calls import Denoiser, Limits
from diffusion.dit.call import DitCall, Network
from diffusion.dit.pieces import Piece
from diffusion.dit.tokens import packed, unpacked
from diffusion.families.family import LoadedModel
from diffusion.families.flux import network as flux_network
from diffusion.families.flux import pieces as flux_pieces
from diffusion.families.flux.shapes import FluxShape
from diffusion.families.sd3 import network as sd3_network
from diffusion.families.sd3 import pieces as sd3_pieces
from diffusion.families.sd3.shapes import Sd3Shape
from tests.diffusion.model_files import CPU, seeded

DitShape: TypeAlias = Sd3Shape | FluxShape

SD3 = Sd3Shape(
    in_channels=16,
    out_channels=16,
    width=64,
    depth=3,
    context_dim=32,
    y_dim=24,
    positions=12,
    dual=(),
    qk_norm=False,
)
SD35 = Sd3Shape(
    in_channels=16,
    out_channels=16,
    width=128,
    depth=3,
    context_dim=32,
    y_dim=24,
    positions=12,
    dual=(0, 1),
    qk_norm=True,
)
DEV = FluxShape(
    in_channels=16,
    out_channels=16,
    width=64,
    mlp=256,
    double=2,
    single=3,
    head=32,
    context_dim=32,
    y_dim=24,
    guided=True,
)


def pieces(shape: DitShape) -> list[Piece]:
    """How its family's own files are cut."""
    if isinstance(shape, Sd3Shape):
        return list(sd3_pieces.pieces(shape))
    return list(flux_pieces.pieces(shape))


def network_of(model: LoadedModel) -> Network:
    """How a transformer of its family is called."""
    own = sd3_network.sd3 if isinstance(model.shape, Sd3Shape) else flux_network.flux
    return partial(own, model.module)


def denoiser_of(model: LoadedModel) -> Denoiser:
    """What asks it, at most eight latents at once."""
    return model.family.denoiser(model, Limits(8, 2**30, torch.float32, CPU))


def drawn_module(shape: Sd3Shape | FluxShape) -> Any:
    """diffusers' module, its weights drawn from their names."""
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel  # noqa: PLC0415

    kind: Any = SD3Transformer2DModel if isinstance(shape, Sd3Shape) else FluxTransformer2DModel
    module = kind(**shape.config()).eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def reference_layout(module: nn.Module, shape: Sd3Shape | FluxShape) -> dict[str, Tensor]:
    """The weights of diffusers' module as Stability or Black Forest Labs store them."""
    parameters = dict(module.named_parameters())
    parts: dict[str, list[tuple[Piece, Tensor]]] = {}
    for piece in pieces(shape):
        for leaf in ("weight", "bias"):
            tensor = parameters.get(f"{piece.module}.{leaf}")
            if tensor is not None:
                stored = "scale" if piece.source.endswith("_norm") else leaf
                parts.setdefault(f"{piece.source}.{stored}", []).append((piece, tensor))
    found = {key: _joined(own) for key, own in parts.items()}
    if isinstance(shape, Sd3Shape):
        found["pos_embed"] = module.get_submodule("pos_embed").get_buffer("pos_embed").clone()
    return found


def _joined(parts: list[tuple[Piece, Tensor]]) -> Tensor:
    ordered = [tensor for _, tensor in sorted(parts, key=lambda part: part[0].start)]
    whole = torch.cat(ordered)
    return torch.cat(whole.chunk(2)[::-1]) if parts[0][0].swapped else whole.clone()


def diffusers_answer(module: Any, call: DitCall) -> Tensor:
    """What diffusers' own forward says of a call of Flux without references."""
    height, width = call.sample.shape[-2:]
    rows, columns = height // 2, width // 2
    places = torch.zeros(rows, columns, 3)
    places[..., 1] = torch.arange(rows)[:, None]
    places[..., 2] = torch.arange(columns)[None]
    tokens = module(
        hidden_states=packed(call.sample),
        encoder_hidden_states=call.context,
        pooled_projections=call.pooled,
        timestep=call.times,
        img_ids=places.reshape(-1, 3),
        txt_ids=torch.zeros(call.context.shape[1], 3),
        guidance=call.guidance,
        return_dict=False,
    )[0]
    return unpacked(tokens, height, width)
