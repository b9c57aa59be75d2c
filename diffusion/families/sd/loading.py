"""U-Nets of Stable Diffusion, from checkpoint files to modules."""

import torch
from torch import nn

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import UnetShape, diffusers_keys
from diffusion.families.sd.vectors import LOTUS_WIDTH
from diffusion.latent_format import LatentFormat
from diffusion.networks.filling import copied, fill
from diffusion.parameterization import Parameterization
from diffusion.weights import Weights

VIEWS = "cc_projection.weight"


def load(found: Found, loading: Loading, *, latent: LatentFormat) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    module = _module(found.part, found.shape, loading.dtype, loading.device)
    if VIEWS in found.weights:
        module.cc_projection = _view_projection(found.weights, loading)
    return LoadedModel(
        family=found.family,
        module=module,
        shape=found.shape,
        parameterization=found.family.parameterization(found),
        latent_format=latent,
        dtype=loading.dtype,
        size=sum(p.numel() * p.element_size() for p in module.parameters()),
    )


def _module(part: Weights, shape: UnetShape, dtype: torch.dtype, device: torch.device) -> Unet:
    with torch.device("meta"):
        module = Unet(shape)
    wanted = dict(module.named_parameters())
    keys = diffusers_keys(part, shape)
    tensors = {
        name: copied(part[key], dtype, device) for name, key in keys.items() if name in wanted
    }
    fill(module, part, tensors)
    return module


def _view_projection(weights: Weights, loading: Loading) -> nn.Linear:
    """What brings a picture and a view of it to the width of texts. (Stable Zero123)"""
    part = weights.under("cc_projection.")
    width, features = part.shape("weight")
    with torch.device("meta"):
        module = nn.Linear(features, width)
    fill(module, part, {key: copied(part[key], loading.dtype, loading.device) for key in part})
    return module


def always_eps(_found: Found) -> Parameterization:
    """What SD 1.x and SDXL's refiner are."""
    return Parameterization("eps")


def eps_or_v(found: Found) -> Parameterization:
    """What the marks in a file of SD 2.x say (ComfyUI supported_models.py, `SD20`, `LotusD`)."""
    if found.shape.y_dim == LOTUS_WIDTH:
        return Parameterization("img_to_img")
    return Parameterization("v" if _looks_like_v(found.part, found.shape) else "eps")


def by_keys(found: Found) -> Parameterization:
    """What the marks in a file of SDXL say (ComfyUI supported_models.py, `SDXL`)."""
    weights = found.weights
    if "edm_mean" in weights and "edm_std" in weights:
        return Parameterization("edm", sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    if "edm_vpred.sigma_max" in weights:
        low = weights.get("edm_vpred.sigma_min")
        high = weights["edm_vpred.sigma_max"]
        return Parameterization(
            "v_edm",
            sigma_min=0.002 if low is None else float(low),
            sigma_max=float(high),
        )
    if "v_pred" in weights:
        return Parameterization("v", zsnr="ztsnr" in weights)
    return Parameterization("eps")


def _looks_like_v(part: Weights, shape: UnetShape) -> bool:
    """SD 2.x says nothing of it, but v-prediction spread the biases of its last norm wider."""
    key = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    if shape.in_channels != 4 or key not in part:
        return False
    return float(part[key].float().std(unbiased=False)) > 0.09
