"""Advanced-ControlNet: ControlNets in some frames, places and layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias, TypedDict, Unpack

from graph.node import Default, Files, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.sample import Conditionings
from graph.values import (
    Conditioning,
    ControlNet,
    Image,
    Link,
    Mask,
    Model,
    ModelFile,
    Steering,
    Vae,
)

CATEGORY = "Adv-ControlNet 🛂🅐🅒🅝"
KEYFRAMES = f"{CATEGORY}/keyframes"
ControlNetFile = Annotated[ModelFile, Files("controlnet")]
MOST = 2**53 - 1
Strength = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
LatentKeyframes: TypeAlias = Annotated[tuple[tuple[int, float], ...], Link("LATENT_KEYFRAME")]


@dataclass(frozen=True)
class ControlWeights:
    """How much a control counts by layer, and for negatives."""

    link: ClassVar = Link("CONTROL_NET_WEIGHTS")
    softness: float = 1.0
    uncond_multiplier: float = 1.0


Keyframe: TypeAlias = Annotated[ControlWeights, Link("TIMESTEP_KEYFRAME")]  # that always holds


class Options(TypedDict, total=False):
    mask_optional: Mask | None
    timestep_kf: Keyframe | None
    latent_kf_override: LatentKeyframes | None
    weights_override: ControlWeights | None
    vae_optional: Vae | None


class Applied(Options, total=False):
    strength: Annotated[Strength, Default(1.0)]
    start_percent: Annotated[When, Default(0.0)]
    end_percent: Annotated[When, Default(1.0)]


@node(
    "ControlNetLoaderAdvanced",
    runs_on=Stage.INLINE,
    display_name="Load Advanced ControlNet Model 🛂🅐🅒🅝",
    deprecated=True,
)
def load_control_net_older(*, control_net_name: ControlNetFile) -> ControlNet:
    """Name a ControlNet."""
    return ControlNet(control_net_name)


@node(
    "ACN_ControlNetLoaderAdvanced",
    runs_on=Stage.INLINE,
    display_name="Load Advanced ControlNet Model 🛂🅐🅒🅝",
    category=CATEGORY,
)
def load_control_net(*, cnet: ControlNetFile) -> ControlNet:
    """Name a ControlNet."""
    return ControlNet(cnet)


@node(
    "LatentKeyframe",
    runs_on=Stage.INLINE,
    display_name="Latent Keyframe 🛂🅐🅒🅝",
    category=KEYFRAMES,
    outputs=("LATENT_KF",),
)
def latent_keyframe(
    *,
    batch_index: Annotated[int, Widget(min=-MOST, max=MOST, step=1)] = 0,
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.001)] = 1.0,
    prev_latent_kf: LatentKeyframes | None = None,
) -> LatentKeyframes:
    """Say how much a control counts for one latent of a batch."""
    return _keyed(prev_latent_kf, {batch_index: strength})


@node(
    "ScaledSoftControlNetWeights",
    runs_on=Stage.INLINE,
    display_name="Scaled Soft Weights 🛂🅐🅒🅝",
    outputs=("CN_WEIGHTS", "TK_SHORTCUT"),
    deprecated=True,
)
def soft_weights(
    *,
    base_multiplier: When = 0.825,
    flip_weights: bool = False,  # noqa: ARG001 - the pack does not read it either
    uncond_multiplier: Annotated[float, Widget(min=0.0, max=1.0, step=0.01), MayBeAbsent()] = 1.0,
) -> tuple[ControlWeights, Keyframe]:
    """Let a control count less in fine layers."""
    weights = ControlWeights(base_multiplier, uncond_multiplier)
    return weights, weights


@node(
    "ACN_ScaledSoftControlNetWeights",
    runs_on=Stage.INLINE,
    display_name="Scaled Soft Weights 🛂🅐🅒🅝",
    category=f"{CATEGORY}/weights",
    outputs=("CN_WEIGHTS", "TK_SHORTCUT"),
)
def soft_weights_newer(
    *,
    base_multiplier: When = 0.825,
    uncond_multiplier: Annotated[float, Widget(min=0.0, max=1.0, step=0.01), MayBeAbsent()] = 1.0,
) -> tuple[ControlWeights, Keyframe]:
    """Let a control count less in fine layers."""
    weights = ControlWeights(base_multiplier, uncond_multiplier)
    return weights, weights


def _keyed(before: LatentKeyframes | None, added: Mapping[int, float]) -> LatentKeyframes:
    """A later keyframe for a latent goes before an earlier one."""
    return tuple(sorted((dict(before or ()) | dict(added)).items()))


def _both(
    stage: Conditionings,
    sides: tuple[Conditioning, Conditioning],
    control_net: ControlNet,
    image: Image,
    given: Applied,
) -> tuple[Conditioning, Conditioning]:
    weights = given.get("weights_override") or given.get("timestep_kf") or ControlWeights()
    mask, latents = given.get("mask_optional"), given.get("latent_kf_override")
    plain = mask is None and latents is None and weights.softness == 1.0
    return stage.apply_control_to_both(
        *sides,
        control_net,
        image,
        strength=given["strength"],
        start_percent=given["start_percent"],
        end_percent=given["end_percent"],
        vae=given.get("vae_optional"),
        steering=None if plain else Steering(mask, latents, weights.softness),
        uncond_multiplier=weights.uncond_multiplier,
    )


@node(
    "ACN_AdvancedControlNetApply_v2",
    runs_on=Stage.SAMPLE,
    display_name="Apply Advanced ControlNet 🛂🅐🅒🅝",
    category=CATEGORY,
    outputs=("positive", "negative"),
)
def apply_advanced(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    **given: Unpack[Applied],
) -> tuple[Conditioning, Conditioning]:
    """Go by pictures, one for each frame or one for all, where and when it is said."""
    return _both(stage, (positive, negative), control_net, image, given)


@node(
    "ACN_AdvancedControlNetApply",
    runs_on=Stage.SAMPLE,
    display_name="Apply Advanced ControlNet 🛂🅐🅒🅝",
    category=CATEGORY,
    outputs=("positive", "negative", "model_opt"),
    deprecated=True,
)
def apply_advanced_older(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    model_optional: Model | None = None,
    **given: Unpack[Applied],
) -> tuple[Conditioning, Conditioning, Annotated[Any, Link("MODEL")]]:
    """Go by pictures, one for each frame or one for all, where and when it is said."""
    return (*_both(stage, (positive, negative), control_net, image, given), model_optional)
