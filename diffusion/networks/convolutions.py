"""Prepares convolutions for the device they run on."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# At every call, oneDNN puts a weight in another order. Where a weight has more bytes than these for
# each pixel that comes of it, one matrix product takes less time (docs/measurements.md).
BYTES_PER_PIXEL = 2**18
BYTES_PER_PIXEL_POINTWISE = 2**11  # no patches are to be gathered


def place_convolutions(module: nn.Module, device: torch.device) -> torch.memory_format:
    """Let `module` convolve as is fastest on `device`. Gives how its feature maps should lie."""
    layout = picture_layout(device)
    if device.type == "cpu":
        _replace(module)
    else:
        module.to(memory_format=layout)  # type: ignore[call-overload]
    return layout


def picture_layout(device: torch.device) -> torch.memory_format:
    """How weights and feature maps of convolutions lie in memory.

    cuDNN is fastest with the channels last. oneDNN, on a CPU, is slower with them than with its own
    blocks, which it makes of contiguous tensors.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


class HostConv2d(nn.Conv2d):
    """`like`, computed as a matrix product where the weight is large and the picture small."""

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,  # type: ignore[arg-type]
            like.stride,  # type: ignore[arg-type]
            like.padding,  # type: ignore[arg-type]
            bias=like.bias is not None,
            device="meta",
        )
        self.weight, self.bias = like.weight, like.bias
        self.train(like.training)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] to [B, out_channels, H', W']."""
        size = [self._length(x, axis) for axis in (0, 1)]
        pointwise = self.kernel_size == self.stride == (1, 1) and not any(self.padding)
        least = BYTES_PER_PIXEL_POINTWISE if pointwise else BYTES_PER_PIXEL
        # Compiled code is for any number of pictures, so which is faster must not be its choice.
        compiling = torch.compiler.is_compiling()
        if compiling or least * len(x) * math.prod(size) > self.weight.nbytes:
            return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        patches = x.flatten(2) if pointwise else self._patches(x)
        columns = patches.transpose(0, 1).flatten(1)  # [in_channels * kernel, B * H' * W']
        weight = self.weight.flatten(1)
        if self.bias is None:
            product = weight @ columns
        else:
            product = torch.addmm(self.bias[:, None], weight, columns)
        output: Tensor = product.unflatten(1, (len(x), *size)).transpose(0, 1).contiguous()
        return output

    def _patches(self, x: Tensor) -> Tensor:
        """[B, in_channels * kernel, H' * W']"""
        return functional.unfold(x, self.kernel_size, 1, self.padding, self.stride)  # type: ignore[arg-type]

    def _length(self, x: Tensor, axis: int) -> int:
        padding, kernel, stride = self.padding[axis], self.kernel_size[axis], self.stride[axis]
        return (x.shape[axis + 2] + 2 * int(padding) - kernel) // stride + 1


def _replace(module: nn.Module) -> None:
    """Every plain convolution of `module`, by one of ours over the same weight."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and child.groups == 1 and child.dilation == (1, 1):
                setattr(parent, name, HostConv2d(child))
