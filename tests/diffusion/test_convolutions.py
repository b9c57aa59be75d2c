"""Convolutions: whichever way one is computed, it gives what torch's gives."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from diffusion.networks.convolutions import HostConv2d, picture_layout, place_convolutions

CPU = torch.device("cpu")


def test_channels_come_last_where_cudnn_convolves() -> None:
    assert picture_layout(torch.device("cuda")) is torch.channels_last
    assert picture_layout(CPU) is torch.contiguous_format


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (40, 40)], ids=["one", "few", "many"])
@pytest.mark.parametrize("shape", [(1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 2, 0), (3, 1, (1, 2))])
def test_a_convolution_on_a_cpu_gives_what_torchs_gives(
    shape: tuple[int, int, int], size: tuple[int, int], *, bias: bool
) -> None:
    kernel, stride, padding = shape
    torch.manual_seed(0)
    theirs = nn.Conv2d(96, 160, kernel, stride, padding, bias=bias).requires_grad_(False)
    place_convolutions(ours := nn.Sequential(theirs), CPU)
    x = torch.randn(2, 96, *(max(kernel, length) for length in size))
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=2e-6)


def test_convolutions_keep_their_weights_and_names() -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 1)))
    before = deepcopy(module.state_dict())
    place_convolutions(module, CPU)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert [type(layer) for layer in layers] == [HostConv2d, HostConv2d]
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_grouped_and_dilated_convolutions_stay_as_they_are() -> None:
    module = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, dilation=2))
    place_convolutions(module, CPU)
    assert [type(layer) for layer in module] == [nn.Conv2d, nn.Conv2d]
