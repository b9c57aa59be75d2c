"""The denoiser of diffusion transformers: many rows of many jobs, one call of the network.

Text and picture attend to each other in one sequence, so rows share a call when their prompts are
of one length: padding or repeating a prompt would change what is seen.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusion.batch.calls import Calls, denoised_by, times_of
from diffusion.batch.parts import Part
from diffusion.batch.prompts import Embedding
from diffusion.batch.rows import Row
from diffusion.dit.call import DitCall, network_of
from diffusion.dit.control import dit_added
from diffusion.dit.shapes import PATCH
from diffusion.guidance.skip_layers import SKIP_BLOCKS
from graph.values import Change

if TYPE_CHECKING:
    from diffusion.dit.loading import LoadedDit

WIDTHS = 40  # numbers alive at the peak of a call, for each token and channel of a block


class DitDenoiser:
    """One transformer that answers rows. Called by one thread at a time."""

    def __init__(
        self, dit: "LoadedDit", *, max_rows: int, activation_bytes: int, device: torch.device
    ) -> None:
        self._network = network_of(dit)
        self._shape = dit.shape
        self._device = device
        self._calls = Calls(
            bytes_per_pixel=WIDTHS * dit.shape.width * dit.dtype.itemsize // PATCH**2,
            max_rows=max_rows,
            activation_bytes=activation_bytes,
            device=device,
        )

    def limit(self, height: int, width: int) -> int:
        """How many latent pictures of this size one call may hold."""
        return self._calls.limit(height, width)

    def forget(self) -> None:
        """Nothing is kept between calls."""

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """The denoised prediction of every row, in order and shaped like its x, float32."""
        groups: dict[Hashable, list[Row]] = {}
        for row in rows:
            groups.setdefault(_kind(row), []).append(row)
        return self._calls.answers(rows, groups.values(), self._predict)

    def _predict(self, parts: list[Part]) -> list[Tensor]:
        """One call of the network."""
        xs = [part.of(part.row.x) for part in parts]
        return denoised_by(self._network(self._call(parts, xs)).float(), parts, xs)

    def _call(self, parts: list[Part], xs: Sequence[Tensor]) -> DitCall:
        scaled = [
            p.row.sampling.input_scaling(p.row.sigma, x) for p, x in zip(parts, xs, strict=True)
        ]
        sample, times = torch.cat(scaled), times_of(parts).to(self._device)
        added = dit_added(parts, scaled, times, self._shape)
        concats = [part.of(c) for part in parts if (c := part.row.prompt.concat) is not None]
        if concats:
            sample = torch.cat([sample, torch.cat(concats)], dim=1)
        prompts = [part.row.prompt.embedding for part in parts]
        first = prompts[0]
        return DitCall(
            sample=sample,
            times=times,
            context=_beside(parts, [prompt.context for prompt in prompts]),
            pooled=_beside(parts, [_pooled(prompt) for prompt in prompts]),
            guidance=self._guidance(parts),
            references=tuple(
                _beside(parts, [prompt.references[place] for prompt in prompts])
                for place in range(len(first.references))
            ),
            places=first.reference_places,
            bias=first.bias,
            skipped=_skipped(parts[0].row.patches),
            added=added,
        )

    def _guidance(self, parts: Sequence[Part]) -> Tensor | None:
        told = [
            torch.full((part.count,), guidance)
            for part in parts
            if (guidance := part.row.prompt.embedding.guidance) is not None
        ]
        return torch.cat(told).to(self._device) if told else None


def _kind(row: Row) -> Hashable:
    """What rows that one call can serve have in common."""
    prompt = row.prompt.embedding
    return (
        row.x.shape[1:],
        prompt.context.shape[1:],
        prompt.guidance is None,
        tuple(reference.shape[1:] for reference in prompt.references),
        prompt.reference_places,
        None if prompt.bias is None else id(prompt.bias),
        row.patches,
    )


def _beside(parts: Sequence[Part], tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.of(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def _pooled(prompt: Embedding) -> Tensor:
    assert prompt.y is not None
    return prompt.y


def _skipped(patches: Sequence[Change]) -> dict[str, frozenset[int]]:
    skipped: dict[str, frozenset[int]] = {}
    for patch in patches:
        if patch.kind == SKIP_BLOCKS:
            for kind, blocks in patch.options:
                skipped[kind] = skipped.get(kind, frozenset()) | frozenset(blocks)
    return skipped
