"""Warms up models before the first request."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.batch.calls import Denoiser
from diffusion.batch.rows import Row
from diffusion.engine.engine import Job, StepEngine, Track
from diffusion.engine.request import prepare_run
from diffusion.engine.run import sample
from diffusion.families.family import LoadedModel
from diffusion.networks.compiling import Regions
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Latent, Model


@dataclass(frozen=True)
class WarmSize:
    """Pictures of one size in pixels, and how many of them model calls hold."""

    width: int
    height: int
    rows: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, eq=False)
class Warming:
    """A model that is compiled for what it is asked. Called like the model itself."""

    model: Denoiser
    regions: Regions | None

    def limit(self, *size: int) -> int:
        return self.model.limit(*size)

    def forget(self) -> None:
        self.model.forget()

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        compiling: AbstractContextManager[None] = nullcontext()
        if self.regions is not None:
            compiling = self.regions.compiling()
        with compiling:
            return self.model(rows)


async def warm_up(
    engine: StepEngine,
    request: SampleRequest,
    loaded: LoadedModel,
    asked: Warming,
    device: torch.device,
) -> None:
    """Take `request` to its end, beside the steps of others.

    Raises:
        SamplingError: the model cannot be compiled, or fails in another way.
    """
    run = await asyncio.to_thread(prepare_run, request, request.latent, loaded, device)
    track = Track(of=len(request.sigmas) - 1)
    size = tuple(run.latent.shape[2:])
    await engine.run(Job(request.node_id, asked, size, sample(run, track), track))


def blank_request(model: Model, loaded: LoadedModel, size: WarmSize, rows: int) -> SampleRequest:
    """One step over `rows` pictures, by a prompt that says nothing."""
    prompt, format = loaded.family.blank(loaded.shape), loaded.latent_format
    frames = [1] * (format.dimensions - 2)
    sides = (size.height // format.px, size.width // format.px)
    latent = torch.zeros(rows, format.channels, *frames, *sides)
    return SampleRequest(
        Guider("basic", model, (("positive", (prompt,)),)),
        Noise(0),
        SamplerChoice("euler"),
        torch.tensor([1.0, 0.0]),
        Latent(latent),
        node_id="warm-up",
    )
