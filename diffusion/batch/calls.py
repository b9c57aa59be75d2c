"""Packs the rows of many jobs into as few network calls as memory allows."""

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from diffusion.batch.parts import Part
from diffusion.batch.rows import Row

Predict: TypeAlias = Callable[[list[Part]], list[Tensor]]
Scope: TypeAlias = Callable[[Sequence[Part]], AbstractContextManager[None]]
Called: TypeAlias = Callable[[int, float], None]  # how much one call answered, and its seconds


def unheard(_size: int, _seconds: float) -> None:
    """Nobody counts."""


def no_scope(_parts: Sequence[Part]) -> AbstractContextManager[None]:
    """Nobody is told whose rows a call has."""
    return nullcontext()


@dataclass(frozen=True)
class Limits:
    """What calls of a network may take, where it computes, and who is told of each call's parts."""

    max_rows: int
    activation_bytes: int
    dtype: torch.dtype
    device: torch.device
    scope: Scope = no_scope


class Denoiser(Protocol):
    """Weights that answer rows; called on the compute thread only."""

    def limit(self, *size: int) -> int:
        """How many latents of this size ([h, w] or [T, h, w]) one call may hold."""

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """The denoised prediction of every row, in order and shaped like its x, float32."""

    def forget(self) -> None:
        """Let go of what was kept for jobs that are over. Called between calls."""


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
        limits: Limits,
        drop: Callable[[], None] = nothing,
    ) -> None:
        """`drop` lets go of what was kept for calls before."""
        self._bytes_per_pixel = bytes_per_pixel
        self._max_rows = limits.max_rows
        self._activation_bytes = limits.activation_bytes
        self._device = limits.device
        self._scope = limits.scope
        self._drop = drop

    def limit(self, *size: int) -> int:
        """How many latents of this size ([h, w] or [T, h, w]) one call may hold."""
        fit = self._activation_bytes // (math.prod(size) * self._bytes_per_pixel)
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
        size = parts[0].row.x.shape[2:]
        while parts:
            limit = self.limit(*size)
            chunk, rest = fitting(parts, limit)
            try:
                with self._scope(chunk):
                    predictions = predict(chunk)
            except RuntimeError as error:
                if not is_out_of_memory(error) or limit == 1 or _cannot_shrink(chunk):
                    raise
                self._halve(sum(part.count for part in chunk) * math.prod(size))
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
    """The first `limit` latents of `parts`, and the rest.

    What may not be divided is a call of its own where it is more than that.
    """
    fitting: list[Part] = []
    for place, part in enumerate(parts):
        if part.count > limit and not part.row.divisible:
            alone = place == 0
            return (fitting or [part]), list(parts[place + alone :])
        if part.count > limit:
            middle = part.start + limit
            head = [Part(part.row, part.start, middle)] if limit else []
            tail = Part(part.row, middle, part.stop)
            return fitting + head, [tail, *parts[place + 1 :]]
        fitting.append(part)
        limit -= part.count
    return fitting, []


def _cannot_shrink(parts: Sequence[Part]) -> bool:
    return len(parts) == 1 and not parts[0].row.divisible


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
