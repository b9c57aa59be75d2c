"""The denoiser of Stable Video Diffusion: rows of as many frames share calls of the network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion.batch.calls import Calls, Limits, denoised_by, times_of
from diffusion.batch.parts import Part, vectors
from diffusion.batch.rows import Row
from diffusion.families.family import LoadedModel
from diffusion.families.svd.network import VideoUnet

FEATURE_MAPS = 128  # at the finest level, as many are alive at once at the peak of a call


class VideoDenoiser:
    """One set of weights that answers rows. Called by one thread at a time."""

    def __init__(self, model: LoadedModel, limits: Limits) -> None:
        module: VideoUnet = model.module
        widest = module.shape.levels[0].channels
        self._module = module
        self._dtype = limits.dtype
        self._device = limits.device
        self._calls = Calls(
            bytes_per_pixel=FEATURE_MAPS * widest * limits.dtype.itemsize, limits=limits
        )

    def limit(self, *size: int) -> int:
        """How many latents of this size one call may hold."""
        return self._calls.limit(*size)

    def forget(self) -> None:
        """Nothing is kept for jobs."""

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """The denoised prediction of every row, in order and shaped like its x, float32."""
        return self._calls.answers(rows, _alike(rows), self._predict)

    def _predict(self, parts: list[Part]) -> list[Tensor]:
        """One call of the network, of whole videos of as many frames."""
        xs = [part.of(part.row.x) for part in parts]
        scaled = [
            p.row.sampling.input_scaling(p.row.sigma, x) for p, x in zip(parts, xs, strict=True)
        ]
        concats = [part.of(p.concat) for part in parts if (p := part.row.prompt).concat is not None]
        sample = torch.cat([torch.cat(scaled), torch.cat(concats)], dim=1)
        contexts = [part.of(part.row.prompt.embedding.context) for part in parts]
        y = vectors(parts, self._dtype)
        assert y is not None
        output = self._module(
            sample.to(self._dtype),
            times_of(parts).to(self._device),
            y,
            torch.cat(contexts).to(self._dtype),
            parts[0].count,
        ).float()
        return denoised_by(output, parts, xs)


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one shape, and with as long prompts, together."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row.x.shape, row.prompt.embedding.context.shape[1])
        groups.setdefault(key, []).append(row)
    return list(groups.values())
