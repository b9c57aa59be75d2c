"""KSampler and its advanced form."""

from typing import Annotated, Literal

from graph.node import Choices, Hidden, Widget, node
from graph.sampling import (
    SAMPLER_NAMES,
    SCHEDULER_NAMES,
    Guider,
    Noise,
    Rows,
    SamplerChoice,
    SampleRequest,
)
from graph.stages import Stage
from graph.stages.sample import Sampling
from graph.values import Conditioning, Latent, Model

Seed = Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)]
Steps = Annotated[int, Widget(min=1, max=10000)]
Step = Annotated[int, Widget(min=0, max=10000)]
Cfg = Annotated[float, Widget(min=0.0, max=100.0, step=0.1, round=0.01)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
SamplerName = Annotated[str, Choices(SAMPLER_NAMES)]
SchedulerName = Annotated[str, Choices(SCHEDULER_NAMES)]
OwnRows = Annotated[Rows | None, Hidden.ROWS]


def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, cfg: float) -> Guider:
    """Classifier-free guidance (Ho and Salimans 2022)."""
    return Guider("cfg", model, (("positive", positive), ("negative", negative)), (("cfg", cfg),))


@node(
    "KSampler",
    runs_on=Stage.SAMPLE,
    category="sampling",
    costly=True,
    splits_batch="latent_image",
)
async def ksampler(
    sampler: Sampling,
    *,
    model: Model,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: Share = 1.0,
    rows: OwnRows = None,
) -> Latent:
    """Denoise a latent from the top of a schedule, or from the part of it that `denoise` says."""
    sigmas = await sampler.sigmas(
        model, sampler_name=sampler_name, scheduler=scheduler, steps=steps, denoise=denoise
    )
    guider = cfg_guider(model, positive, negative, cfg)
    choice = SamplerChoice(sampler_name)
    output, _ = await sampler.sample(
        SampleRequest(guider, Noise(seed), choice, sigmas, latent_image, rows=rows)
    )
    return output


@node(
    "KSamplerAdvanced",
    runs_on=Stage.SAMPLE,
    display_name="KSampler (Advanced)",
    category="sampling",
    costly=True,
    splits_batch="latent_image",
)
async def ksampler_advanced(
    sampler: Sampling,
    *,
    model: Model,
    add_noise: Literal["enable", "disable"],
    noise_seed: Seed = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: Step = 0,
    end_at_step: Step = 10000,
    return_with_leftover_noise: Literal["disable", "enable"],
    rows: OwnRows = None,
) -> Latent:
    """Run some steps of a schedule, with or without noise at their beginning and end."""
    whole = await sampler.sigmas(model, sampler_name=sampler_name, scheduler=scheduler, steps=steps)
    sigmas = sampler.steps_between(
        whole,
        start_at_step,
        end_at_step,
        force_full_denoise=return_with_leftover_noise == "disable",
    )
    noise = Noise(noise_seed if add_noise == "enable" else None, noise_seed)
    guider = cfg_guider(model, positive, negative, cfg)
    choice = SamplerChoice(sampler_name)
    output, _ = await sampler.sample(
        SampleRequest(guider, noise, choice, sigmas, latent_image, rows=rows)
    )
    return output
