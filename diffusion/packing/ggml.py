"""GGML's blocks: 32 numbers with a scale, or 256 in sub-blocks whose scales are packed, too.

What is computed is in float16, as ComfyUI-GGUF does it, and brought to the wanted precision then.
A block's layout is told at its function. (ggml src/ggml-common.h and ggml-quants.c)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.packing.packed import Form, on_device

# What four bits stand for in the IQ4 forms.
IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@dataclass(frozen=True)
class Ggml(Form):
    """Blocks of one type. Data are [rows, bytes]; there are no other tensors."""

    kind: str
    stored: int  # bytes of a block
    precision: torch.dtype = torch.float16

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        blocks = data.reshape(-1, self.stored)
        return UNPACK[self.kind](blocks, self.precision).to(dtype).reshape(len(data), -1)


def _float(blocks: Tensor, at: int, dtype: torch.dtype) -> Tensor:
    """[n, 1]: the float16 at a byte of each block."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).to(dtype)


def _nibbles(packed: Tensor, run: int) -> Tensor:
    """[n, 2 * bytes]: of each `run` bytes the lower halves, then the upper ones."""
    runs = packed.unflatten(1, (-1, run))
    return torch.cat([runs & 0x0F, runs >> 4], dim=2).flatten(1)


def _bits(packed: Tensor, width: int, run: int) -> Tensor:
    """As `_nibbles`, of so many bits: of each `run` bytes the lowest bits first."""
    runs = packed.unflatten(1, (-1, run))
    parts = [(runs >> at) & (2**width - 1) for at in range(0, 8, width)]
    return torch.cat(parts, dim=2).flatten(1)


def _bits_of_32(packed: Tensor) -> Tensor:
    """[n, 32] of [n, 4]: one bit after the other."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> shifts) & 1).flatten(1)


def _grouped(scale: Tensor, numbers: Tensor) -> Tensor:
    """Numbers [n, 256] times the scales [n, groups] of equal runs of them."""
    groups = scale.shape[1]
    scaled: Tensor = scale[:, :, None] * numbers.unflatten(1, (groups, -1))
    return scaled.flatten(1)


def _q4_0(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, 16 bytes of halves"""
    return _float(blocks, 0, dtype) * (_nibbles(blocks[:, 2:], 16).to(torch.int8) - 8)


def _q4_1(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, least, 16 bytes of halves"""
    return _float(blocks, 0, dtype) * _nibbles(blocks[:, 4:], 16) + _float(blocks, 2, dtype)


def _q5_0(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, 32 upper bits, 16 bytes of halves"""
    numbers = _nibbles(blocks[:, 6:], 16) | (_bits_of_32(blocks[:, 2:6]) << 4)
    return _float(blocks, 0, dtype) * (numbers.to(torch.int8) - 16)


def _q5_1(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, least, 32 upper bits, 16 bytes of halves"""
    numbers = _nibbles(blocks[:, 8:], 16) | (_bits_of_32(blocks[:, 4:8]) << 4)
    return _float(blocks, 0, dtype) * numbers + _float(blocks, 2, dtype)


def _q8_0(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, 32 numbers"""
    return _float(blocks, 0, dtype) * blocks[:, 2:].contiguous().view(torch.int8)


def _iq4_nl(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, 16 bytes of halves, which are places in a table"""
    return _float(blocks, 0, dtype) * _in_table(_nibbles(blocks[:, 2:], 16))


def _in_table(places: Tensor) -> Tensor:
    return on_device(IQ4, torch.int8, places.device)[places.int()]


def _iq4_xs(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, 8 x 2 upper bits of scales, 8 x 4 lower ones, 128 bytes of halves"""
    low = _nibbles(blocks[:, 4:8], 1)
    high = _bits(blocks[:, 2:4], 2, 1)
    scales = (low | (high << 4)).to(torch.int8) - 32
    numbers = _in_table(_nibbles(blocks[:, 8:], 16))
    return _grouped(_float(blocks, 0, dtype) * scales.to(dtype), numbers)


def _q2_k(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """16 x (scale, least) of 4 bits, 64 bytes of 2 bits, scale, scale of the least"""
    scales, least = blocks[:, :16] & 0x0F, blocks[:, :16] >> 4
    numbers = _bits(blocks[:, 16:80], 2, 32)
    scaled = _grouped(_float(blocks, 80, dtype) * scales, numbers)
    lowest = (_float(blocks, 82, dtype) * least).repeat_interleave(16, dim=1)
    return scaled - lowest


def _q3_k(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """32 bytes of upper bits, 64 of 2 bits, 16 scales of 6 bits in 12 bytes, scale

    Of a scale the lower 4 bits are in the first 8 bytes, the upper 2 in the others.
    """
    packed = blocks[:, 96:108]
    low, high = _nibbles(packed[:, :8], 8), _bits(packed[:, 8:], 2, 4)
    scales = (low | (high << 4)).to(torch.int8) - 32
    upper = _bits(blocks[:, :32], 1, 32)  # set where nothing is taken off
    numbers = _bits(blocks[:, 32:96], 2, 32).to(torch.int8) - ((upper ^ 1) << 2).to(torch.int8)
    return _grouped(_float(blocks, 108, dtype) * scales, numbers)


def _k_scales(packed: Tensor) -> tuple[Tensor, Tensor]:
    """8 scales and 8 least ones of 6 bits, in 12 bytes.

    The first four of each have a byte; of the others the lower 4 bits are in the last four bytes,
    the upper 2 in the spare bits of those of the first.
    """
    scale, least, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    more = (rest & 0x0F) | ((scale >> 2) & 0x30)
    more_least = (rest >> 4) | ((least >> 2) & 0x30)
    return torch.cat([scale & 0x3F, more], dim=1), torch.cat([least & 0x3F, more_least], dim=1)


def _over_least(blocks: Tensor, numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """scale, scale of the least, 12 bytes of both for sub-blocks of 32"""
    scales, least = _k_scales(blocks[:, 4:16])
    scaled = _grouped(_float(blocks, 0, dtype) * scales, numbers)
    return scaled - (_float(blocks, 2, dtype) * least).repeat_interleave(32, dim=1)


def _q4_k(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scales, 128 bytes of halves"""
    return _over_least(blocks, _nibbles(blocks[:, 16:], 32), dtype)


def _q5_k(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """scales, 32 bytes of upper bits, 128 of halves"""
    upper = _bits(blocks[:, 16:48], 1, 32)
    return _over_least(blocks, _nibbles(blocks[:, 48:], 32) | (upper << 4), dtype)


def _q6_k(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """128 bytes of halves, 64 of 2 upper bits, 16 scales, scale"""
    low, upper = _nibbles(blocks[:, :128], 64), _bits(blocks[:, 128:192], 2, 32)
    numbers = (low | (upper << 4)).to(torch.int8) - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8)
    return _grouped(_float(blocks, 208, dtype) * scales.to(dtype), numbers)


UNPACK: Mapping[str, Callable[[Tensor, torch.dtype], Tensor]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
}
