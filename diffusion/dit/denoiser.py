"""The denoiser of diffusion transformers: one network call for many rows of many jobs.

Text and picture attend to each other in one sequence, so rows share a call when their prompts are
of one length: padding or repeating a prompt would change what is seen.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.calls import Calls, Limits, denoised_by, times_of
from diffusion.batch.parts import Part
from diffusion.batch.patches import SKIP_BLOCKS
from diffusion.batch.rows import Row
from diffusion.dit.call import DitCall, Network
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.control import added_by_controls
from diffusion.dit.kept import kept_of
from diffusion.dit.patches import Behind
from diffusion.dit.tokens import PATCH
from graph.values import Change

WIDTHS = 40  # numbers alive at the peak of a call, for each token and channel of a block


class DitDenoiser:
    """One transformer that answers rows. Called by one thread at a time."""

    def __init__(self, network: Network, shape: Any, limits: Limits, *, patch: int = PATCH) -> None:
        """`shape` is its family's and has a `width`; what controls say is spread by it.

        Its tokens are squares of `patch` latent pixels.
        """
        self._network = network
        self._shape = shape
        self._device = limits.device
        self._calls = Calls(
            bytes_per_pixel=WIDTHS * shape.width * limits.dtype.itemsize // patch**2,
            limits=limits,
        )

    def limit(self, *size: int) -> int:
        """How many latents of this size one call may hold."""
        return self._calls.limit(*size)

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
        added = added_by_controls(parts, scaled, times, self._shape)
        concats = [part.of(c) for part in parts if (c := part.row.prompt.concat) is not None]
        if concats:
            sample = torch.cat([sample, torch.cat(concats)], dim=1)
        prompts = [_embedding(part.row) for part in parts]
        first = prompts[0]
        return DitCall(
            sample=sample,
            times=_shared_out(times, parts, prompts),
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
            changes=tuple(parts[0].row.patches),
            kept=kept_of(parts),
            behind=_behind(parts, sample),
            beside={
                name: _beside(parts, [prompt.beside[name] for prompt in prompts])
                for name in first.beside
            },
        )

    def _guidance(self, parts: Sequence[Part]) -> Tensor | None:
        strengths = [
            torch.full((part.count,), guidance)
            for part in parts
            if (guidance := _embedding(part.row).guidance) is not None
        ]
        return torch.cat(strengths).to(self._device) if strengths else None


def _kind(row: Row) -> Hashable:
    """What rows that one call can serve have in common."""
    prompt = _embedding(row)
    return (
        row.x.shape[1:],
        prompt.context.shape[1:],
        None if prompt.y is None else prompt.y.shape[1:],
        prompt.guidance is None,
        tuple(reference.shape[1:] for reference in prompt.references),
        prompt.reference_places,
        None if prompt.time_shares is None else prompt.time_shares.shape[1:],
        tuple((name, tensor.shape[1:]) for name, tensor in sorted(prompt.beside.items())),
        None if prompt.bias is None else id(prompt.bias),
        row.patches,
        None if row.kept is None else frozenset(row.kept),
        tuple(id(image.image) for image in row.images),
    )


def _beside(parts: Sequence[Part], tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.of(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def _shared_out(times: Tensor, parts: Sequence[Part], prompts: Sequence[DitEmbedding]) -> Tensor:
    """[N] times, or [N, T] where frames, or tokens, are each told a share of it."""
    shares = [prompt.time_shares for prompt in prompts if prompt.time_shares is not None]
    return times[:, None] * _beside(parts, shares) if shares else times


def _behind(parts: Sequence[Part], sample: Tensor) -> tuple[Behind, ...]:
    patches: list[Any] = [image.image for image in parts[0].row.images]
    height, width = sample.shape[-2:]
    return tuple(patch.behind(parts, (height, width)) for patch in patches)


def _embedding(row: Row) -> DitEmbedding:
    embedding = row.prompt.embedding
    assert isinstance(embedding, DitEmbedding)
    return embedding


def _pooled(prompt: DitEmbedding) -> Tensor:
    return prompt.context.new_zeros(1, 0) if prompt.y is None else prompt.y


def _skipped(patches: Sequence[Change]) -> dict[str, frozenset[int]]:
    skipped: dict[str, frozenset[int]] = {}
    for patch in patches:
        if patch.kind == SKIP_BLOCKS:
            for kind, blocks in patch.options:
                skipped[kind] = skipped.get(kind, frozenset()) | frozenset(blocks)
    return skipped
