"""A U-Net as it is here and as diffusers has it, asked without a denoiser."""

from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from diffusion.unet.architecture import UnetShape
from diffusion.unet.attention import AttentionCall, cross_attention_layers, project_context
from diffusion.unet.loading import LoadedUnet


@torch.inference_mode()
def answered(
    unet: LoadedUnet, x: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None
) -> Tensor:
    """What the network says of one prompt [B, T, D] for every picture."""
    layers = cross_attention_layers(unet.module)
    call = AttentionCall(project_context(layers, context), size=(x.shape[-2], x.shape[-1]))
    answer: Tensor = unet.module(x, t, call, y)
    return answer


def by_diffusers(unet: LoadedUnet) -> UNet2DConditionModel:
    """diffusers' module with the same weights."""
    module: UNet2DConditionModel = UNet2DConditionModel(**config(unet.shape))
    module.load_state_dict(unet.module.state_dict())
    return module.eval()


def config(shape: UnetShape) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DConditionModel, whose tensors have the same names.

    The vector embedding is its `class_labels`: `y` as it stands, whatever it was made of.
    """
    levels = shape.levels
    mid_type = "UNetMidBlock2DCrossAttn" if shape.mid else "UNetMidBlock2D"
    down_depths = [list(level.down) for level in levels]
    if shape.mid:
        down_depths[-1][0] = shape.mid  # where diffusers looks for the middle block's
    return {
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "block_out_channels": tuple(level.channels for level in levels),
        "layers_per_block": tuple(len(level.down) for level in levels),
        "down_block_types": tuple(
            "CrossAttnDownBlock2D" if any(level.down) else "DownBlock2D" for level in levels
        ),
        "up_block_types": tuple(
            "CrossAttnUpBlock2D" if any(level.up) else "UpBlock2D" for level in levels[::-1]
        ),
        "mid_block_type": None if shape.mid is None else mid_type,
        "transformer_layers_per_block": down_depths,
        "reverse_transformer_layers_per_block": [list(level.up) for level in levels[::-1]],
        "cross_attention_dim": shape.context_dim,
        "use_linear_projection": shape.linear,
        "attention_head_dim": shape.heads(),
        "class_embed_type": "projection" if shape.y_dim else None,
        "projection_class_embeddings_input_dim": shape.y_dim,
    }
