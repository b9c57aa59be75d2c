"""CLIP image encoders: loading, and embeddings of pictures.

Files are in transformers' layout or OpenCLIP's; sizes follow from shapes, what shapes do not tell
from the depth, as in ComfyUI (comfy/clip_vision.py, load_clipvision_from_sd).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from diffusion.networks.filling import copied, fill
from diffusion.text.clip_layout import layer_tensors
from diffusion.vision.clip_picture import preprocessed
from diffusion.vision.siglip import LoadedSiglip, is_siglip, load_siglip
from diffusion.weights import Weights
from graph.values import ClipVisionOutput

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

# Where a file keeps the encoder: "" before transformers' own names and OpenCLIP's, then OpenCLIP's
# whole model, checkpoints of SD 2.1 unCLIP, of Stable Video Diffusion and of Stable Zero123.
PREFIXES = (
    "",
    "visual.",
    "embedder.model.visual.",
    "conditioner.embedders.0.open_clip.model.visual.",
    "cond_stage_model.model.visual.",
)
PATCHES = "vision_model.embeddings.patch_embedding.weight"
OPEN_CLIP = "transformer.resblocks.0.attn.in_proj_weight"
AROUND: Mapping[str, str] = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "conv1.weight": PATCHES,
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    **{
        f"{theirs}.{kind}": f"vision_model.{ours}.{kind}"
        for theirs, ours in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm"))
        for kind in ("weight", "bias")
    },
}
DEEP = 23  # layers from which on there are 16 heads, whatever the width
OPENAI_LAYERS = 24  # the deepest that OpenAI trained, with the activation of its own
OPEN_CLIP_WIDTH = 1280  # from which on there are OpenCLIP's alone, of 16 heads


@dataclass(frozen=True, eq=False)
class LoadedClipVision:
    """An image encoder, ready to run on pictures of `side` pixels squared."""

    module: "CLIPVisionModelWithProjection"
    side: int
    size: int  # bytes

    @torch.inference_mode()
    def see(
        self, image: Tensor, *, crop: bool = True, mask: Tensor | None = None
    ) -> ClipVisionOutput:
        """What is in pictures [B, H, W, C]; `mask` [B, side, side] blackens parts of them."""
        parameter = next(self.module.parameters())
        x = preprocessed(image.to(parameter.device, torch.float32), self.side, crop=crop)
        if mask is not None:
            x = x * mask.to(x.device).unsqueeze(1)
        seen = self.module(x.to(parameter.dtype), output_hidden_states=True)
        assert seen.hidden_states is not None
        parts = (seen.image_embeds, seen.last_hidden_state, seen.hidden_states[-2])
        return ClipVisionOutput(*(part.float().cpu() for part in parts))


ImageEncoder: TypeAlias = LoadedClipVision | LoadedSiglip


def load_clip_vision(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> ImageEncoder:
    """The image encoder of a file.

    Raises:
        BadModelFile: there is none in it, or it is incomplete.
    """
    if is_siglip(weights):
        return load_siglip(weights, dtype=dtype, device=device)
    from transformers.models.clip.configuration_clip import CLIPVisionConfig  # noqa: PLC0415
    from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection  # noqa: PLC0415

    part = find_clip_vision(weights)
    tensors = tensors_of(part, dtype, device)
    config = read_config(part, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    with torch.device("meta"):
        module = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    fill(module, part, tensors)
    embeddings = module.vision_model.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    return LoadedClipVision(module, config["image_size"], size)


def find_clip_vision(weights: Weights) -> Weights:
    """The part of a file that is an image encoder, named without prefix.

    Raises:
        BadModelFile: no part of it is.
    """
    for prefix in PREFIXES:
        part = weights.under(prefix)
        if PATCHES in part or OPEN_CLIP in part:
            return part
    examples = ", ".join(sorted(weights)[:3])
    raise weights.bad(
        problem=f"no image encoder in it; found {len(weights)} tensors such as {examples}"
    )


def read_config(part: Weights, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arguments of transformers' CLIPVisionConfig, from shapes under transformers' names.

    Raises:
        BadModelFile: the encoder is incomplete.
    """
    layer = "vision_model.encoder.layers."
    layers = len({n.removeprefix(layer).partition(".")[0] for n in shapes if n.startswith(layer)})
    try:
        width, _, patch, _ = shapes[PATCHES]
        positions = shapes["vision_model.embeddings.position_embedding.weight"][0]
        side = round((positions - 1) ** 0.5)
        open_clip = width >= OPEN_CLIP_WIDTH
        return {
            "hidden_size": width,
            "intermediate_size": shapes[layer + "0.mlp.fc1.weight"][0],
            "projection_dim": shapes["visual_projection.weight"][0],
            "num_hidden_layers": layers,
            "num_attention_heads": 16 if layers >= DEEP or open_clip else max(1, width // 64),
            "image_size": side * patch,
            "patch_size": patch,
            "hidden_act": "gelu" if layers > OPENAI_LAYERS or open_clip else "quick_gelu",
            "attn_implementation": "sdpa",
        }
    except (KeyError, ValueError) as error:
        raise part.bad(problem=f"its image encoder is incomplete: {error}") from error


def tensors_of(part: Weights, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Every tensor under its name in CLIPVisionModelWithProjection, copied off the file."""
    return {
        name: copied(tensor, dtype, device)
        for key in part
        for name, tensor in _renamed(part, key).items()
    }


def _renamed(part: Weights, key: str) -> dict[str, Tensor]:
    """What transformers calls the tensor `key`, or the three it makes of one."""
    if key == "proj":  # OpenCLIP multiplies from the other side
        return {"visual_projection.weight": part[key].T}
    if key == "visual_projection.weight" or key.startswith("vision_model."):
        return {key: part[key]}
    if key in AROUND:
        return {AROUND[key]: part[key]}
    if key.startswith("transformer.resblocks."):
        return layer_tensors(part, key, "vision_model.encoder.layers.")
    return {}
