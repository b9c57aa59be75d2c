"""Sigmas: split, turned around and edited."""

from typing import Annotated, Literal

from graph.node import Widget, node
from graph.nodes.sampling import Share
from graph.sampling import Sigmas
from graph.stages import Stage
from graph.stages.sample import SampleFunctions
from graph.values import Model

CATEGORY = "sampling/custom_sampling/sigmas"
HIGH_AND_LOW = ("high_sigmas", "low_sigmas")


@node("SplitSigmas", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=HIGH_AND_LOW)
def split(
    stage: SampleFunctions, *, sigmas: Sigmas, step: Annotated[int, Widget(min=0, max=10000)] = 0
) -> tuple[Sigmas, Sigmas]:
    """Cut a schedule in two at a step."""
    return stage.split(sigmas, step)


@node("SplitSigmasDenoise", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=HIGH_AND_LOW)
def split_by_denoise(
    stage: SampleFunctions, *, sigmas: Sigmas, denoise: Share = 1.0
) -> tuple[Sigmas, Sigmas]:
    """Cut a schedule in two, so that its end holds a part of its steps."""
    return stage.split_by_denoise(sigmas, denoise)


@node("FlipSigmas", runs_on=Stage.SAMPLE, category=CATEGORY)
def flip(stage: SampleFunctions, *, sigmas: Sigmas) -> Sigmas:
    """Turn a schedule around, to go from picture to noise."""
    return stage.flip(sigmas)


@node("SetFirstSigma", runs_on=Stage.SAMPLE, category=CATEGORY)
def set_first(
    stage: SampleFunctions,
    *,
    sigmas: Sigmas,
    sigma: Annotated[float, Widget(min=0.0, max=20000.0, step=0.001, round=False)] = 136.0,
) -> Sigmas:
    """Begin a schedule elsewhere."""
    return stage.set_first(sigmas, sigma)


@node("ExtendIntermediateSigmas", runs_on=Stage.SAMPLE, category=CATEGORY)
def extend_intermediate(
    stage: SampleFunctions,
    *,
    sigmas: Sigmas,
    steps: Annotated[int, Widget(min=1, max=100)] = 2,
    start_at_sigma: Annotated[float, Widget(min=-1.0, max=20000.0, step=0.01, round=False)] = -1.0,
    end_at_sigma: Annotated[float, Widget(min=0.0, max=20000.0, step=0.01, round=False)] = 12.0,
    spacing: Literal["linear", "cosine", "sine"],
) -> Sigmas:
    """Put steps between the steps of a part of a schedule."""
    return stage.extend_intermediate(sigmas, steps, start_at_sigma, end_at_sigma, spacing)


@node("SamplingPercentToSigma", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=("sigma_value",))
async def percent_to_sigma(
    stage: SampleFunctions,
    *,
    model: Model,
    sampling_percent: Annotated[float, Widget(min=0.0, max=1.0, step=0.0001)] = 0.0,
    return_actual_sigma: bool = False,
) -> float:
    """Give the sigma at a part of a model's way."""
    sampling = await stage.model_sampling(model)
    return stage.percent_to_sigma(sampling, sampling_percent, actual=return_actual_sigma)


@node(
    "ManualSigmas",
    runs_on=Stage.SAMPLE,
    category="_for_testing/custom_sampling",
    experimental=True,
)
def manual(
    stage: SampleFunctions, *, sigmas: Annotated[str, Widget(multiline=False)] = "1, 0.5"
) -> Sigmas:
    """Read a schedule from numbers in a text. (Newer editors have it, ComfyUI 0.3.64 not yet.)"""
    return stage.manual(sigmas)
