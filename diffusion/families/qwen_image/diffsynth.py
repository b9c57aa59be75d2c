"""DiffSynth's controls of Qwen-Image: a small network behind every block.

(ComfyUI comfy_extras/nodes_model_patch.py, QwenImageBlockWiseControlNet)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.dit.patches import PatchPictures
from diffusion.dit.reading import counted, read
from diffusion.dit.tokens import PATCH
from diffusion.families.family import without_float16
from diffusion.families.qwen_image.blocks import EPS
from diffusion.families.qwen_image.network import packed_frames
from diffusion.families.qwen_image.shapes import QwenImageShape
from diffusion.latent_format import WAN21_LATENT, process_in
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

MARK = "controlnet_blocks.0.y_rms.weight"


class ControlBlock(nn.Module):
    """What one block of the model is told."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x_rms = nn.RMSNorm(width, eps=EPS)
        self.y_rms = nn.RMSNorm(width, eps=EPS)
        self.input_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)

    def forward(self, picture: Tensor, guide: Tensor) -> Tensor:
        hidden = self.input_proj(self.x_rms(picture) + self.y_rms(guide))
        answer: Tensor = self.output_proj(functional.gelu(hidden))
        return answer


class Network(nn.Module):
    """All of it, under the names that files have."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.img_in = nn.Linear(channels, width)
        self.controlnet_blocks = nn.ModuleList(ControlBlock(width) for _ in range(blocks))


class DiffSynthControl:
    """One set of weights."""

    def __init__(self, module: Network) -> None:
        self._module = module
        channels = module.img_in.in_features // PATCH**2
        self.reads_masks = channels > WAN21_LATENT.channels

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(parameter.nbytes for parameter in self._module.parameters())

    def misfit(self, model: Any) -> str | None:
        """Why it is not for a model of such a shape, if so."""
        if not isinstance(model, QwenImageShape):
            return "it is a control for Qwen-Image, which this model is not"
        width = self._module.img_in.out_features
        if width != model.width:
            return f"it is a control for models of width {width}, this model's is {model.width}"
        return None

    def guide(self, pictures: PatchPictures) -> Tensor:
        """What a picture says, and the mask beside it where the network reads one."""
        latent = pictures.latent(pictures.image)
        if self.reads_masks:
            latent = torch.cat([latent, pictures.mask(latent)], dim=1)
        return self.tokens(latent)

    def tokens(self, latent: Tensor) -> Tensor:
        """What a picture's latent [B, C, T, h, w], with the mask behind it, says."""
        own = WAN21_LATENT.channels
        placed = torch.cat([process_in(WAN21_LATENT, latent[:, :own]), latent[:, own:]], dim=1)
        tokens: Tensor = self._module.img_in(packed_frames(placed).to(self._module.img_in.weight))
        return tokens

    def __call__(self, index: int, picture: Tensor, guide: Tensor) -> Tensor:
        """What is added to a picture's tokens; nothing behind blocks that it has none for."""
        own = picture[:, : guide.shape[1]]
        added = torch.zeros_like(picture)
        if index < len(self._module.controlnet_blocks):
            block = self._module.controlnet_blocks[index]
            added[:, : own.shape[1]] = block(own, guide)
        return added


def load_diffsynth(weights: Weights, dtype: torch.dtype, device: torch.device) -> DiffSynthControl:
    """The control of a file. Raises BadModelFile where something is missing."""
    width, channels = read(weights, lambda found: found.shape("img_in.weight"))
    with torch.device("meta"):
        module = Network(channels, width, counted(weights, "controlnet_blocks.{}."))
    wanted = {name for name, _ in module.named_parameters()} & set(weights)
    kept = without_float16(dtype)
    fill(module, weights, {name: copied(weights[name], kept, device) for name in wanted})
    return DiffSynthControl(module)
