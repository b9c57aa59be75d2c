"""Rows of many jobs in as few calls of a network as memory allows."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.parts import Part
from diffusion.batch.rows import Row

Predict: TypeAlias = Callable[[list[Part]], list[Tensor]]


def nothing() -> None:
    """Nothing is kept between calls."""


class Calls:
    """The calls of one network, for one thread at a time.

    A call holds at most `max_rows` pictures, and no more than `activation_bytes` are estimated to
    suffice for. Where the estimate was too high, it is halved and the call made again.
    """

    def __init__(
        self,
        *,
        bytes_per_pixel: int,
        max_rows: int,
        activation_bytes: int,
        device: torch.device,
        drop: Callable[[], None] = nothing,
    ) -> None:
        """`drop` lets go of what was kept for calls before."""
        self._bytes_per_pixel = bytes_per_pixel
        self._max_rows = max_rows
        self._activation_bytes = activation_bytes
        self._device = device
        self._drop = drop

    def limit(self, height: int, width: int) -> int:
        """How many latent pictures of this size one call may hold."""
        fit = self._activation_bytes // (height * width * self._bytes_per_pixel)
        return max(1, min(self._max_rows, fit))

    def answers(
        self, rows: Sequence[Row], groups: Iterable[Sequence[Row]], predict: Predict
    ) -> list[Tensor]:
        """The prediction of every row, in order; the rows of one of `groups` can share calls.

        `predict` makes a call. It is not kept, as it belongs to what keeps this: in a circle,
        weights would outlive their last use.
        """
        found: dict[int, list[Tensor]] = {id(row): [] for row in rows}
        for group in groups:
            for part, answer in self._answer([Part(row, 0, len(row.x)) for row in group], predict):
                found[id(part.row)].append(answer)
        return [_whole(found[id(row)]) for row in rows]

    def _answer(self, parts: list[Part], predict: Predict) -> Iterator[tuple[Part, Tensor]]:
        """Answers in the order of `parts`."""
        height, width = parts[0].row.x.shape[-2:]
        while parts:
            limit = self.limit(height, width)
            chunk, rest = fitting(parts, limit)
            try:
                predictions = predict(chunk)
            except RuntimeError as error:
                if not is_out_of_memory(error) or limit == 1:
                    raise
                self._halve(sum(part.count for part in chunk) * height * width)
                continue
            yield from zip(chunk, predictions, strict=True)
            parts = rest

    def _halve(self, pixels: int) -> None:
        """Never again as many latent pixels at once."""
        self._activation_bytes = pixels * self._bytes_per_pixel // 2
        self._drop()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def fitting(parts: Sequence[Part], limit: int) -> tuple[list[Part], list[Part]]:
    """The first `limit` pictures of `parts`, and the rest."""
    fitting: list[Part] = []
    for place, part in enumerate(parts):
        if part.count > limit:
            middle = part.start + limit
            head = [Part(part.row, part.start, middle)] if limit else []
            tail = Part(part.row, middle, part.stop)
            return fitting + head, [tail, *parts[place + 1 :]]
        fitting.append(part)
        limit -= part.count
    return fitting, []


def times_of(parts: Sequence[Part]) -> Tensor:
    """[N], float32."""
    times = [p.row.sampling.timestep(p.row.sigma).float().expand(p.count) for p in parts]
    return torch.cat(times)


def denoised_by(output: Tensor, parts: Sequence[Part], xs: Sequence[Tensor]) -> list[Tensor]:
    """What a network's output [N, C, h, w] says of every part; those who keep outputs get it."""
    outputs = torch.split(output, [part.count for part in parts])
    for part, own in zip(parts, outputs, strict=True):
        if part.row.outputs is not None:
            part.row.outputs.append(own)
    return [
        part.row.sampling.denoised(part.row.sigma, own, x)
        for part, own, x in zip(parts, outputs, xs, strict=True)
    ]


def _whole(answers: list[Tensor]) -> Tensor:
    return answers[0] if len(answers) == 1 else torch.cat(answers)


def is_out_of_memory(error: RuntimeError) -> bool:
    """On a GPU it has a class of its own; the CPU's allocator only says so."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
