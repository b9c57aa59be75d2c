"""Scaled 8-bit numbers, and blocks of few bits with 8-bit scales.

(comfy-kitchen comfy_kitchen/tensor and backends/eager; OCP Microscaling Formats 1.0)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.packing.packed import Form, on_device
from graph.model_files.packing import SCALE_COLUMNS, SCALE_ROWS

# What four bits stand for: a sign, two bits of exponent, one of mantissa.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
QUARTER = ((1, 1, 1, -1), (1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1))


@dataclass(frozen=True)
class Scaled(Form):
    """Each number times a scale: one for all, or one for its row. Then, where there is one, times
    that of its column.
    """

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        scaled = data.to(dtype) * scales[0].to(dtype)
        return _smoothed(scaled, scales[1:])


@dataclass(frozen=True)
class Turned(Form):
    """As `Scaled`; then groups of so many columns are turned back to where they came from."""

    group: int

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        scaled = data.float() * scales[0].float()
        return _smoothed(turned(scaled, self.group), scales[1:]).to(dtype)


@dataclass(frozen=True)
class TurnedInt4(Form):
    """As `Turned`, of two numbers of four bits in a byte, the lower half first."""

    group: int

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        halves = _halves(data.view(torch.uint8), low_first=True)
        signed = (halves.to(torch.int8) ^ 8) - 8
        scaled = signed.float() * scales[0].float()
        return _smoothed(turned(scaled, self.group), scales[1:]).to(dtype)


@dataclass(frozen=True)
class Nvfp4(Form):
    """Two numbers of four bits in a byte, the upper half first, each 16 with a scale of 8 bits.

    `scales`: those of the blocks [n, blocks], and one for all.
    """

    block: int = 16

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        blocks, whole, *smoothing = scales
        halves = _halves(data, low_first=False).int()
        positive = on_device(E2M1, dtype, data.device)
        values = torch.cat([positive, -positive])[halves]
        scale = whole.to(dtype) * blocks.to(dtype)
        scaled = values.unflatten(1, (-1, self.block)) * scale[..., None]
        return _smoothed(scaled.flatten(1), smoothing)


@dataclass(frozen=True)
class Mxfp8(Form):
    """Numbers of 8 bits, each 32 with a power of two."""

    block: int = 32

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        blocks, *smoothing = scales
        power = torch.exp2(blocks.float() - 127)
        scaled = data.float().unflatten(1, (-1, self.block)) * power[..., None]
        return _smoothed(scaled.flatten(1), smoothing).to(dtype)


def turned(matrix: Tensor, group: int) -> Tensor:
    """Each `group` columns times a Hadamard matrix, which is its own inverse.

    It is built of quarters whose rows all have the same sum. (ConvRot, 2025)
    """
    quarter = on_device(QUARTER, matrix.dtype, matrix.device)
    hadamard = quarter
    while len(hadamard) < group:
        hadamard = torch.kron(hadamard, quarter)
    groups = matrix.unflatten(1, (-1, group))
    found: Tensor = groups @ (hadamard / group**0.5).T
    return found.flatten(1)


def in_rows(scales: Tensor, rows: int, columns: int) -> Tensor:
    """Scales of blocks [rows, columns] out of cuBLAS's layout.

    There, tiles of 128 x 4 lie one after the other, and in a tile rows 32 apart lie side by side.
    """
    down, across = -(-rows // SCALE_ROWS), -(-columns // SCALE_COLUMNS)
    tiles = scales.reshape(down, across, 32, 4, SCALE_COLUMNS)
    ordered = tiles.permute(0, 3, 2, 1, 4).reshape(down * SCALE_ROWS, across * SCALE_COLUMNS)
    return ordered[:rows, :columns].contiguous()


def _halves(data: Tensor, *, low_first: bool) -> Tensor:
    low, high = data & 0x0F, data >> 4
    pair = (low, high) if low_first else (high, low)
    return torch.stack(pair, dim=-1).flatten(1)


def _smoothed(matrix: Tensor, columns: Sequence[Tensor]) -> Tensor:
    for scale in columns:
        matrix = matrix * scale.to(matrix.dtype)
    return matrix
