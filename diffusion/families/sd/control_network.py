"""The network of ControlNets: a U-Net's encoder, a block that reads hints, and what leaves it.

Parameters have diffusers' names. (Zhang et al. 2023; ComfyUI comfy/cldm/cldm.py)
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from diffusion.families.sd.attention import AttentionCall
from diffusion.families.sd.network import Encoder, MiddleBlock, name_attention
from diffusion.families.sd.shapes import UnetShape, skip_widths


class HintBlock(nn.Module):
    """A picture to what joins the first feature map; every other convolution halves the size."""

    def __init__(self, into: int, widths: Sequence[int], out: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(into, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for width, wider in pairwise(widths):
            self.blocks.append(nn.Conv2d(width, width, 3, padding=1))
            self.blocks.append(nn.Conv2d(width, wider, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, hint: Tensor) -> Tensor:
        h = functional.silu(self.conv_in(hint))
        for block in self.blocks:
            h = functional.silu(block(h))
        embedding: Tensor = self.conv_out(h)
        return embedding


class ControlNetwork(Encoder):
    """Answers with what is to be added to the U-Net's skip connections, and behind its middle."""

    def __init__(self, shape: UnetShape, hint_channels: int, hint_widths: Sequence[int]) -> None:
        super().__init__(shape)
        finest, coarsest = shape.levels[0].channels, shape.levels[-1].channels
        self.controlnet_cond_embedding = HintBlock(hint_channels, hint_widths, finest)
        self.mid_block = MiddleBlock(shape)
        self.controlnet_down_blocks = nn.ModuleList(
            [nn.Conv2d(width, width, 1) for width in skip_widths(shape)]
        )
        self.controlnet_mid_block = nn.Conv2d(coarsest, coarsest, 1)
        name_attention(self)

    def forward(
        self, x: Tensor, t: Tensor, call: AttentionCall, y: Tensor | None, embedding: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """As `Unet`, and the `embedding` [B, C, h, w] that the hint block makes of hints."""
        time = self.embedded(t, y, x.dtype)
        left = self.down(self.conv_in(x) + embedding, time, call)
        middle = self.mid_block(left[-1], time, call)
        skips = [conv(h) for conv, h in zip(self.controlnet_down_blocks, left, strict=True)]
        return skips, self.controlnet_mid_block(middle)
