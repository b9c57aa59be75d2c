"""A U-Net as it is here and as diffusers has it, asked without a denoiser."""

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.families.sd.attention import AttentionCall, cross_attention_layers, project_context


@torch.inference_mode()
def answered(
    unet: LoadedModel, x: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None
) -> Tensor:
    """What the network says of one prompt [B, T, D] for every picture."""
    layers = cross_attention_layers(unet.module)
    call = AttentionCall(project_context(layers, context), size=(x.shape[-2], x.shape[-1]))
    answer: Tensor = unet.module(x, t, call, y)
    return answer


def by_diffusers(unet: LoadedModel) -> UNet2DConditionModel:
    """diffusers' module with the same weights."""
    module: UNet2DConditionModel = UNet2DConditionModel(**unet.shape.config())
    module.load_state_dict(unet.module.state_dict())
    return module.eval()
