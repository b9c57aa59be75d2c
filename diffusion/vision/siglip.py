"""SigLIP image encoders, as Flux.1 Redux uses them. (Zhai et al. 2023)

(ComfyUI comfy/clip_vision.py and clip_vision_siglip_384.json)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion.networks.filling import copied, fill
from diffusion.vision.clip_picture import preprocessed
from diffusion.weights import Weights
from graph.values import ClipVisionOutput

if TYPE_CHECKING:
    from transformers import SiglipVisionModel

BIAS = "vision_model.embeddings.patch_embedding.bias"  # which CLIP's have not
PATCHES = "vision_model.embeddings.patch_embedding.weight"
STYLE_LAYERS = (-2, -11, -20)  # (ComfyUI comfy_extras/nodes_model_patch.py, USOStyleReference)
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # mean and spread of colours


@dataclass(frozen=True, eq=False)
class LoadedSiglip:
    """An image encoder, ready to run on pictures of `side` pixels squared."""

    module: "SiglipVisionModel"
    side: int
    size: int  # bytes

    @torch.inference_mode()
    def see(
        self, image: Tensor, *, crop: bool = True, mask: Tensor | None = None
    ) -> ClipVisionOutput:
        """What is in pictures [B, H, W, C]; `mask` [B, side, side] blackens parts of them."""
        parameter = next(self.module.parameters())
        x = preprocessed(
            image.to(parameter.device, torch.float32), self.side, crop=crop, colors=HALVES
        )
        if mask is not None:
            x = x * mask.to(x.device).unsqueeze(1)
        seen = self.module(x.to(parameter.dtype), output_hidden_states=True)
        last = seen.last_hidden_state.float().cpu()
        states = seen.hidden_states[1:]
        style = None
        if len(states) >= -min(STYLE_LAYERS):
            style = torch.stack([states[layer] for layer in STYLE_LAYERS], dim=1).float().cpu()
        return ClipVisionOutput(last, last, states[-2].float().cpu(), style)


def is_siglip(weights: Weights) -> bool:
    return BIAS in weights


def load_siglip(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> LoadedSiglip:
    """The image encoder of a file of which `is_siglip` holds.

    Raises:
        BadModelFile: it is incomplete.
    """
    from transformers.models.siglip.configuration_siglip import SiglipVisionConfig  # noqa: PLC0415
    from transformers.models.siglip.modeling_siglip import SiglipVisionModel  # noqa: PLC0415

    config = read_siglip_config(weights)
    with torch.device("meta"):
        module = SiglipVisionModel(SiglipVisionConfig(**config))
    inner: Any = getattr(module, "vision_model", module)  # some versions nest it, as files do
    part = weights.under("vision_model.")
    wanted = {name for name, _ in inner.named_parameters()}
    fill(inner, part, {key: copied(part[key], dtype, device) for key in part if key in wanted})
    embeddings: Any = inner.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
    size = sum(p.nbytes for p in module.parameters())
    return LoadedSiglip(module, config["image_size"], size)


def read_siglip_config(weights: Weights) -> dict[str, Any]:
    """Arguments of transformers' SiglipVisionConfig, from shapes.

    Raises:
        BadModelFile: the encoder is incomplete.
    """
    layer = "vision_model.encoder.layers."
    try:
        width, _, patch, _ = weights.shape(PATCHES)
        positions = weights.shape("vision_model.embeddings.position_embedding.weight")[0]
        return {
            "hidden_size": width,
            "intermediate_size": weights.shape(f"{layer}0.mlp.fc1.weight")[0],
            "num_hidden_layers": len({k.split(".")[3] for k in weights if k.startswith(layer)}),
            "num_attention_heads": 16 if width >= 1024 else max(1, width // 64),
            "image_size": round(positions**0.5) * patch,
            "patch_size": patch,
            "vision_use_head": False,  # nothing here reads the pooled state
            "attn_implementation": "sdpa",
        }
    except (KeyError, ValueError, IndexError) as error:
        raise weights.bad(problem=f"its image encoder is incomplete: {error}") from error
