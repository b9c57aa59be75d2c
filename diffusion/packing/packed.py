"""A packed matrix, and its unpacked numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

SCRATCH = 2**24  # numbers that are unpacked at once, so that what is made on the way stays small


@cache
def on_device(table: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers of a table, which are sent to a device once."""
    with torch.inference_mode(mode=False):  # so that any later call may use them
        return torch.tensor(table, dtype=dtype, device=device)


@dataclass(frozen=True)
class Form:
    """How numbers are packed. One instance is shared by many matrices, so it holds no tensors."""

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """[n, columns] in `dtype`, of n rows of data and what belongs to them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Plain(Form):
    """Each number in the data's own precision."""

    def numbers(self, data: Tensor, scales: Sequence[Tensor], dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        return data.to(dtype)


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix of `shape`, as `data` [n, ...] and `scales`.

    A row of data may stand for another count of numbers than a row of the matrix. Scales of two
    axes have a row for each row of the data; those of fewer axes are for all.
    """

    shape: tuple[int, ...]
    data: Tensor
    scales: tuple[Tensor, ...]
    form: Form

    @property
    def size(self) -> int:
        """Bytes."""
        return self.data.nbytes + sum(scale.nbytes for scale in self.scales)

    @property
    def narrow(self) -> bool:
        """Whether numbers have at most 8 bits, so that what is added to them would be lost."""
        return not isinstance(self.form, Plain) or self.data.dtype.itemsize == 1

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The numbers, of `shape`."""
        rows = len(self.data)
        step = max(1, SCRATCH * rows // math.prod(self.shape))
        if step >= rows:
            return self.form.numbers(self.data, self.scales, dtype).reshape(self.shape)
        whole = torch.empty(self.shape, dtype=dtype, device=self.data.device)
        flat = whole.view(rows, -1)
        for at in range(0, rows, step):
            part = self._rows(slice(at, at + step))
            flat[at : at + step] = self.form.numbers(part.data, part.scales, dtype)
        return whole

    def cut(self, slices: Sequence[slice]) -> "Packed | None":
        """The matrix of these rows; None where rows are not packed one by one."""
        if len(slices) == 1 and slices[0] == slice(0, self.shape[0]):
            return self
        per_row = len(self.data) / self.shape[0]
        if per_row != int(per_row):
            return None
        parts = [
            self._rows(slice(int(one.start * per_row), int(one.stop * per_row))) for one in slices
        ]
        data = torch.cat([part.data for part in parts])
        scales = tuple(
            torch.cat([part.scales[i] for part in parts]) if _of_rows(scale) else scale
            for i, scale in enumerate(self.scales)
        )
        rows = sum(one.stop - one.start for one in slices)
        return Packed((rows, *self.shape[1:]), data, scales, self.form)

    def placed(self, place: Callable[[Tensor], Tensor]) -> "Packed":
        """The same of other tensors: copies, or such on another device."""
        return replace(self, data=place(self.data), scales=tuple(map(place, self.scales)))

    def picked(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """The numbers of these rows, of a matrix whose rows are packed one by one."""
        per_row = len(self.data) // self.shape[0]
        wanted = (rows[:, None] * per_row + torch.arange(per_row, device=rows.device)).flatten()
        scales = tuple(s[wanted] if _of_rows(s) else s for s in self.scales)
        numbers = self.form.numbers(self.data[wanted], scales, dtype)
        return numbers.reshape(len(rows), *self.shape[1:])

    def _rows(self, rows: slice) -> "Packed":
        scales = tuple(s[rows] if _of_rows(s) else s for s in self.scales)
        return replace(self, data=self.data[rows], scales=scales)


def _of_rows(scale: Tensor) -> bool:
    return scale.ndim > 1
