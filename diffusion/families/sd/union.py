"""Union ControlNets: one ControlNet for several control types.

A hint's embedding is marked with its type by a small transformer, and the type is embedded beside
the time. Both are the same at every step. diffusers' ControlNetUnionModel has its transformer
attend over the pictures of a batch, which would make a job's picture depend on its company; here,
as in ComfyUI, every picture is by itself, which is what that model computes for one picture.
(ComfyUI comfy/cldm/cldm.py, ControlNet.union_controlnet_merge; comfy/cldm/control_types.py)
"""

import torch
from torch import Tensor, nn

from diffusion.networks.filling import copied, fill
from diffusion.networks.layers import Embedding, sinusoids
from diffusion.text.clip_network import quick_gelu
from diffusion.weights import Weights

HEADS = 8
WAVES = 256  # numbers that stand for whether a hint is of one type


class UnionMlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.c_proj(quick_gelu(self.c_fc(x)))
        return projected


class UnionBlock(nn.Module):
    """A transformer's layer over tokens [T, B, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, HEADS)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = UnionMlp(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        answer: Tensor = x + self.mlp(self.ln_2(x))
        return answer


class UnionTypes(nn.Module):
    """The parts of a union ControlNet that read types. Parameters are named as in its files."""

    def __init__(self, count: int, *, layers: int, channels: int, time_channels: int) -> None:
        super().__init__()
        self.count = count
        self.task_embedding = nn.Parameter(torch.empty(count, channels))
        self.transformer_layes = nn.ModuleList([UnionBlock(channels) for _ in range(layers)])
        self.spatial_ch_projs = nn.Linear(channels, channels)
        self.control_add_embedding = Embedding(WAVES * count, time_channels)

    def marked(self, embedding: Tensor, index: int) -> Tensor:
        """A hint's embedding [B, C, h, w] as one of type `index`."""
        pictures = embedding.mean(dim=(2, 3)) + self.task_embedding[index]
        x = pictures[None]  # one token for each picture: the blocks take the batch second
        for layer in self.transformer_layes:
            x = layer(x)
        alpha: Tensor = self.spatial_ch_projs(x[0])
        return embedding + alpha[:, :, None, None]

    def type_vector(self, index: int | None) -> Tensor:
        """What joins the time's embedding, [1, T]."""
        weight = self.task_embedding
        which = torch.zeros(self.count, device=weight.device)
        if index is not None:
            which[index] = 1.0
        waves = sinusoids(which, WAVES)
        embedded: Tensor = self.control_add_embedding(waves.reshape(1, -1).to(weight.dtype))
        return embedded


def read_union_types(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> UnionTypes | None:
    """The parts of a union ControlNet in a file of diffusers' layout; None in any other.

    Raises:
        BadModelFile: some are missing or have other shapes.
    """
    if "task_embedding" not in weights or "control_add_embedding.linear_1.weight" not in weights:
        return None
    count, channels = weights.shape("task_embedding")
    layers = {key.split(".")[1] for key in weights if key.startswith("transformer_layes.")}
    time_channels = weights.shape("control_add_embedding.linear_1.weight")[0]
    with torch.device("meta"):
        union = UnionTypes(
            count, layers=len(layers), channels=channels, time_channels=time_channels
        )
    names = [name for name, _ in union.named_parameters() if name in weights]
    fill(union, weights, {name: copied(weights[name], dtype, device) for name in names})
    return union
