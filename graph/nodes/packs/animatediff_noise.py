"""AnimateDiff: the noise that frames begin with. Nodes of ComfyUI-AnimateDiff-Evolved."""

from typing import Annotated, TypedDict, Unpack

from graph.motion import (
    NOISE_TYPES,
    SEED_GENERATORS,
    Drawn,
    NoiseLayer,
    NoiseLayers,
    SampleSettings,
)
from graph.node import Choices, Default, MayBeAbsent, Widget, node
from graph.nodes.packs.animatediff import CATEGORY, MOST_STEPS
from graph.stages import Stage
from graph.values import Mask

LAYERS = f"{CATEGORY}/noise layers"
Offset = Annotated[int, Widget(min=0, max=MOST_STEPS)]
SeedOffset = Annotated[int, Widget(min=-MOST_STEPS, max=MOST_STEPS)]
NoiseType = Annotated[str, Choices(NOISE_TYPES)]
SeedOverride = Annotated[int | None, Widget(min=0, max=2**64 - 1, forceInput=True)]
Weight = Annotated[float, Widget(min=0.0, max=10.0, step=0.001)]


class Layer(TypedDict, total=False):
    batch_offset: Annotated[Offset, Default(0)]
    noise_type: NoiseType
    seed_gen_override: Annotated[str, Choices(("use existing", *SEED_GENERATORS))]
    seed_offset: Annotated[SeedOffset, Default(0)]
    prev_noise_layers: NoiseLayers | None
    mask_optional: Mask | None
    seed_override: SeedOverride


def _added(
    application: str, given: Layer, *, weight: float = 1.0, balance: float = 1.0
) -> NoiseLayers:
    """The layer that is added last is the first to be laid."""
    drawn = Drawn(
        given["noise_type"],
        given["seed_gen_override"],
        given["batch_offset"],
        given["seed_offset"],
        given.get("seed_override"),
    )
    own = NoiseLayer(drawn, application, weight, balance, given.get("mask_optional"))
    return (own, *(given.get("prev_noise_layers") or ()))


@node(
    "ADE_AnimateDiffSamplingSettings",
    runs_on=Stage.INLINE,
    display_name="Sample Settings 🎭🅐🅓",
    category=CATEGORY,
    outputs=("settings",),
)
def sample_settings(
    *,
    batch_offset: Offset = 0,
    noise_type: NoiseType,
    seed_gen: Annotated[str, Choices(SEED_GENERATORS)],
    seed_offset: SeedOffset = 0,
    noise_layers: NoiseLayers | None = None,
    seed_override: SeedOverride = None,
    adapt_denoise_steps: Annotated[bool, MayBeAbsent()] = False,  # noqa: ARG001 - of no effect there
) -> SampleSettings:
    """Say which noise frames begin with."""
    drawn = Drawn(noise_type, seed_gen, batch_offset, seed_offset, seed_override)
    return SampleSettings(drawn, tuple(noise_layers or ()))


@node(
    "ADE_NoiseLayerReplace",
    runs_on=Stage.INLINE,
    display_name="Noise Layer [Replace] 🎭🅐🅓",
    category=LAYERS,
)
def replace_noise(**layer: Unpack[Layer]) -> NoiseLayers:
    """Replace noise by other."""
    return _added("replace", layer)


@node(
    "ADE_NoiseLayerAdd",
    runs_on=Stage.INLINE,
    display_name="Noise Layer [Add] 🎭🅐🅓",
    category=LAYERS,
)
def add_noise(*, noise_weight: Weight = 0.5, **layer: Unpack[Layer]) -> NoiseLayers:
    """Add noise to other."""
    return _added("add", layer, weight=noise_weight)


@node(
    "ADE_NoiseLayerAddWeighted",
    runs_on=Stage.INLINE,
    display_name="Noise Layer [Add Weighted] 🎭🅐🅓",
    category=LAYERS,
)
def add_noise_weighted(
    *,
    noise_weight: Weight = 0.5,
    balance_multiplier: Annotated[float, Widget(min=0.0, step=0.001)] = 1.0,
    **layer: Unpack[Layer],
) -> NoiseLayers:
    """Add noise to other, which loses as much."""
    return _added("add_weighted", layer, weight=noise_weight, balance=balance_multiplier)


@node(
    "ADE_NoiseLayerNormalizedSum",
    runs_on=Stage.INLINE,
    display_name="Noise Layer [Normalized Sum] 🎭🅐🅓",
    category=LAYERS,
)
def sum_noise(
    *,
    noise_weight: Annotated[float, Widget(min=0.0, max=1.0, step=0.001)] = 0.5,
    **layer: Unpack[Layer],
) -> NoiseLayers:
    """Mix noise with other to noise as strong."""
    return _added("normalized_sum", layer, weight=noise_weight)
