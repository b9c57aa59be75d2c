"""USO's style projector: a model patch that gives Flux SigLIP's features of pictures.

(ComfyUI comfy_extras/nodes_model_patch.py, SigLIPMultiFeatProjModel, UsoStyleProjectorPatch)
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.patches import PatchPictures
from diffusion.dit.reading import read
from diffusion.families.family import without_float16
from diffusion.families.flux.shapes import FluxShape
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights
from graph.errors import ServiceError

PREFIX = "feature_embedder."
MARK = f"{PREFIX}mid_layer_norm.bias"
DEPTHS = ("high", "mid", "low")  # as the encoder's states come


class StyleNotSeenError(ServiceError):
    """What was seen by an image encoder whose layers tell no styles."""

    status = 422
    code = "style_not_seen"
    template = "USOStyleReference needs what a SigLIP of at least 20 layers sees."


class Projector(nn.Module):
    """States of three layers, each brought to a few tokens of the model's width."""

    def __init__(self, seen: int, tokens: int, channels: int, width: int) -> None:
        super().__init__()
        for depth in DEPTHS:
            fewer = nn.Sequential(nn.Linear(seen, tokens), nn.SiLU())
            setattr(self, f"{depth}_embedding_linear", fewer)
            setattr(self, f"{depth}_layer_norm", nn.LayerNorm(channels))
            setattr(self, f"{depth}_projection", nn.Linear(channels, width))

    def forward(self, states: Tensor) -> Tensor:
        """[B, 3, T, D] -> [B, 3 * tokens, width]."""
        return torch.cat(list(self._parts(states)), dim=1)

    def _parts(self, states: Tensor) -> Iterator[Tensor]:
        for place, depth in enumerate(DEPTHS):
            fewer, norm, projection = (
                self.get_submodule(f"{depth}_{name}")
                for name in ("embedding_linear", "layer_norm", "projection")
            )
            yield projection(norm(fewer(states[:, place].transpose(1, 2)).transpose(1, 2)))


class StyleProjector:
    """One set of weights."""

    def __init__(self, module: Projector) -> None:
        self._module: Any = module

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(parameter.nbytes for parameter in self._module.parameters())

    def misfit(self, model: Any) -> str | None:
        """Why it is not for a model of such a shape, if so."""
        if not isinstance(model, FluxShape):
            return "it is a style projector for Flux, which this model is not"
        width = self._module.high_projection.out_features
        if width != model.width:
            return f"it is for models of width {width}, this model's is {model.width}"
        return None

    def guide(self, pictures: PatchPictures) -> Tensor:
        """What was seen, as tokens [B, T, D]."""
        seen = pictures.use.seen
        if seen is None or seen.style_hidden_states is None:
            raise StyleNotSeenError
        weight = self._module.high_projection.weight
        tokens: Tensor = self._module(seen.style_hidden_states.to(weight))
        return tokens


def load_style(weights: Weights, dtype: torch.dtype, device: torch.device) -> StyleProjector:
    """The projector of a file. Raises BadModelFile where something is missing."""
    part = weights.under(PREFIX)
    tokens, seen = read(part, lambda found: found.shape("high_embedding_linear.0.weight"))
    width, channels = read(part, lambda found: found.shape("high_projection.weight"))
    with torch.device("meta"):
        module = Projector(seen, tokens, channels, width)
    wanted = {name for name, _ in module.named_parameters()} & set(part)
    kept = without_float16(dtype)
    fill(module, part, {name: copied(part[name], kept, device) for name in wanted})
    return StyleProjector(module)
