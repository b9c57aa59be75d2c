"""Schedules: the falling sigmas that a sampler walks down."""

from typing import Annotated, Literal

from graph.latent_sizes import FLUX2
from graph.node import Widget, node
from graph.nodes.sampling import SchedulerName, Share, Steps
from graph.sampling import Sigmas
from graph.stages import Stage
from graph.stages.sample import Schedules
from graph.values import Latent, Model

CATEGORY = "sampling/custom_sampling/schedulers"

Sigma = Annotated[float, Widget(min=0.0, max=5000.0, step=0.01, round=False)]
Rho = Annotated[float, Widget(min=0.0, max=100.0, step=0.01, round=False)]
Fifty = Annotated[float, Widget(min=0.0, max=50.0, step=0.01, round=False)]
Side = Annotated[int, Widget(min=16, max=16384, step=1)]
Shift = Annotated[float, Widget(min=0.0, max=100.0, step=0.01)]


@node("BasicScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
async def basic(
    stage: Schedules,
    *,
    model: Model,
    scheduler: SchedulerName,
    steps: Steps = 20,
    denoise: Share = 1.0,
) -> Sigmas:
    """Make one of KSampler's schedules."""
    return stage.basic(await stage.model_sampling(model), scheduler, steps, denoise)


@node("KarrasScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def karras(
    stage: Schedules,
    *,
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
    rho: Rho = 7.0,
) -> Sigmas:
    """Space sigmas evenly in their rho-th root."""
    return stage.karras(steps, sigma_max, sigma_min, rho)


@node("ExponentialScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def exponential(
    stage: Schedules,
    *,
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
) -> Sigmas:
    """Space sigmas evenly in their logarithm."""
    return stage.exponential(steps, sigma_max, sigma_min)


@node("PolyexponentialScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def polyexponential(
    stage: Schedules,
    *,
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
    rho: Rho = 1.0,
) -> Sigmas:
    """Space sigmas by a power of time in their logarithm."""
    return stage.polyexponential(steps, sigma_max, sigma_min, rho)


@node("LaplaceScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def laplace(
    stage: Schedules,
    *,
    steps: Steps = 20,
    sigma_max: Sigma = 14.614642,
    sigma_min: Sigma = 0.0291675,
    mu: Annotated[float, Widget(min=-10.0, max=10.0, step=0.1, round=False)] = 0.0,
    beta: Annotated[float, Widget(min=0.0, max=10.0, step=0.1, round=False)] = 0.5,
) -> Sigmas:
    """Space the logarithms of sigmas as a Laplace distribution does."""
    return stage.laplace(steps, sigma_max, sigma_min, mu, beta)


@node("VPScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def vp(
    stage: Schedules,
    *,
    steps: Steps = 20,
    beta_d: Sigma = 19.9,
    beta_min: Sigma = 0.1,
    eps_s: Annotated[float, Widget(min=0.0, max=1.0, step=0.0001, round=False)] = 0.001,
) -> Sigmas:
    """Take the sigmas of a variance-preserving process."""
    return stage.vp(steps, beta_d, beta_min, eps_s)


@node("BetaSamplingScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
async def beta(
    stage: Schedules,
    *,
    model: Model,
    steps: Steps = 20,
    alpha: Fifty = 0.6,
    beta: Fifty = 0.6,
) -> Sigmas:
    """Space a model's times as a Beta distribution does."""
    return stage.beta(await stage.model_sampling(model), steps, alpha=alpha, beta=beta)


@node("SDTurboScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
async def sd_turbo(
    stage: Schedules,
    *,
    model: Model,
    steps: Annotated[int, Widget(min=1, max=10)] = 1,
    denoise: Annotated[float, Widget(min=0, max=1.0, step=0.01)] = 1.0,
) -> Sigmas:
    """Take the times that SD-Turbo was distilled at."""
    return stage.sd_turbo(await stage.model_sampling(model), steps, denoise)


@node("AlignYourStepsScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def align_your_steps(
    stage: Schedules,
    *,
    model_type: Literal["SD1", "SDXL", "SVD"],
    steps: Steps = 10,
    denoise: Share = 1.0,
) -> Sigmas:
    """Take the sigmas that were found best for a family of models."""
    return stage.align_your_steps(model_type, steps, denoise)


@node("GITSScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def gits(
    stage: Schedules,
    *,
    coeff: Annotated[float, Widget(min=0.8, max=1.5, step=0.05)] = 1.2,
    steps: Annotated[int, Widget(min=2, max=1000)] = 10,
    denoise: Share = 1.0,
) -> Sigmas:
    """Take the sigmas that follow how sampling paths bend."""
    return stage.gits(coeff, steps, denoise)


@node("OptimalStepsScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def optimal_steps(
    stage: Schedules,
    *,
    model_type: Literal["FLUX", "Wan", "Chroma"],
    steps: Annotated[int, Widget(min=3, max=1000)] = 20,
    denoise: Share = 1.0,
) -> Sigmas:
    """Take the sigmas that were searched for, for a family of flow models."""
    return stage.optimal_steps(model_type, steps, denoise)


@node("Flux2Scheduler", runs_on=Stage.SAMPLE, category="model/sampling/schedulers")
def flux2(
    stage: Schedules,
    *,
    steps: Annotated[int, Widget(min=1, max=4096)] = 20,
    width: Side = 1024,
    height: Side = 1024,
) -> Sigmas:
    """Shift a flow's sigmas by the size of a picture of Flux.2, and by the steps."""
    return stage.flux2(steps, round(width * height / FLUX2.px**2))


@node("LTXVScheduler", runs_on=Stage.SAMPLE, category=CATEGORY)
def ltxv(
    stage: Schedules,
    *,
    steps: Steps = 20,
    max_shift: Shift = 2.05,
    base_shift: Shift = 0.95,
    stretch: bool = True,
    terminal: Annotated[float, Widget(min=0.0, max=0.99, step=0.01)] = 0.1,
    latent: Latent | None = None,
) -> Sigmas:
    """Shift a flow's sigmas by the size of a video latent."""
    tokens = 4096 if latent is None else latent.samples[0, 0].numel()
    end = terminal if stretch else None
    return stage.ltxv(steps, tokens, max_shift=max_shift, base_shift=base_shift, terminal=end)
