"""Files of Stable Video Diffusion: recognised, and turned into networks."""

from collections.abc import Mapping
from types import MappingProxyType

import torch

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.sd.shapes import UnetShape, module_names, read_shape, renamed
from diffusion.families.svd.network import VideoUnet
from diffusion.latent_format import LatentColors, LatentFormat
from diffusion.networks.filling import copied, fill
from diffusion.parameterization import Parameterization
from diffusion.weights import Weights

MARK = "input_blocks.1.0.time_stack.in_layers.0.weight"
DIFFUSERS_MARK = "down_blocks.0.resnets.0.temporal_res_block.norm1.weight"
FROM_DIFFUSERS: Mapping[str, str] = MappingProxyType(
    {
        "spatial_res_block.": "",
        "temporal_res_block.norm1": "time_stack.in_layers.0",
        "temporal_res_block.conv1": "time_stack.in_layers.2",
        "temporal_res_block.time_emb_proj": "time_stack.emb_layers.1",
        "temporal_res_block.norm2": "time_stack.out_layers.0",
        "temporal_res_block.conv2": "time_stack.out_layers.3",
        "temporal_transformer_blocks": "time_stack",
        "time_pos_embed.linear_1": "time_pos_embed.0",
        "time_pos_embed.linear_2": "time_pos_embed.2",
        "add_embedding": "class_embedding",
    }
)
SIZES_WIDTH = 768  # of frame rate, motion and augmentation, as sinusoids
ORBIT_WIDTHS = frozenset({256, 1280})  # of augmentation alone, and with two angles
RESNET = ".resnets."


def read_video_shape(weights: Weights) -> UnetShape | None:
    """The shape of a U-Net whose layers see other frames; None where there is none.

    Raises:
        BadModelFile: one that is damaged.
    """
    if MARK in weights:
        return read_shape(weights)
    return read_shape(_from_diffusers(weights)) if DIFFUSERS_MARK in weights else None


def _from_diffusers(part: Weights) -> Weights:
    """A file in diffusers' layout, with our names."""
    return part.renamed({_renamed(key): key for key in part})


def _renamed(key: str) -> str:
    for theirs, ours in FROM_DIFFUSERS.items():
        key = key.replace(theirs, ours)
    return key


def is_video(shape: UnetShape) -> bool:
    """Whether it is of Stable Video Diffusion, which hears of three sizes."""
    return shape.y_dim == SIZES_WIDTH and shape.mid is not None


def is_orbit(shape: UnetShape) -> bool:
    """Whether it is of Stable Video 3D."""
    return shape.y_dim in ORBIT_WIDTHS and shape.mid is not None


def names_of(shape: UnetShape) -> dict[str, str]:
    """LDM's name of a module -> ours: a residual layer has one over frames within."""
    names = module_names(shape)
    blocks = {
        theirs.rpartition(".")[0].rpartition(".")[0]: name.rpartition(".")[0]
        for theirs, name in names.items()
        if RESNET in name and theirs.endswith("in_layers.0")
    }
    return names | blocks


def load(found: Found, loading: Loading, *, colors: LatentColors) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    with torch.device("meta"):
        module = VideoUnet(found.shape)
    wanted = dict(module.named_parameters())
    part = found.part
    if DIFFUSERS_MARK in part:
        part = _from_diffusers(part)
        keys = {key: key for key in part}
    else:
        keys = renamed(part, names_of(found.shape))
    tensors = {
        name: copied(part[key], loading.dtype, loading.device)
        for name, key in keys.items()
        if name in wanted
    }
    fill(module, found.part, tensors)
    return LoadedModel(
        family=found.family,
        module=module,
        shape=found.shape,
        parameterization=found.family.parameterization(found),
        latent_format=LatentFormat(4, 0.18215, colors=colors),
        dtype=loading.dtype,
        size=sum(tensor.nbytes for tensor in tensors.values()),
    )


def parameterization(_found: Found) -> Parameterization:
    """Velocities over the noise levels that it was trained on."""
    return Parameterization("v_edm", sigma_min=0.002, sigma_max=700.0)
