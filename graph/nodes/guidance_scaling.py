"""Changes to a model that scale its guidance.

Nodes only describe; diffusion/guidance/scaling.py carries them out.
"""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Conditionings
from graph.values import Conditioning, Model

Scale = Annotated[float, Widget(min=0, max=10, step=0.01)]
Length = Annotated[float, Widget(min=0.0, max=100.0, step=0.01)]
LeastCfg = Annotated[float, Widget(min=0.0, max=100.0, step=0.5, round=0.01)]


@node("FreSca", runs_on=Stage.INLINE, category="_for_testing", experimental=True)
def fresca(
    *,
    model: Model,
    scale_low: Scale = 1.0,
    scale_high: Scale = 1.25,
    freq_cutoff: Annotated[int, Widget(min=1, max=10000, step=1)] = 20,
) -> Model:
    """Guide more, or less, where the picture is fine than where it is coarse."""
    return model.changed(
        "frequencies", scale_low=scale_low, scale_high=scale_high, freq_cutoff=freq_cutoff
    )


@node("RenormCFG", runs_on=Stage.INLINE, category="advanced/model")
def renorm_cfg(*, model: Model, cfg_trunc: Length = 100, renorm_cfg: Length = 1.0) -> Model:
    """Keep strong guidance from making the prediction longer than the positive's."""
    return model.changed("renorm_cfg", cfg_trunc=cfg_trunc, renorm_cfg=renorm_cfg)


@node("VideoLinearCFGGuidance", runs_on=Stage.INLINE, category="sampling/video_models")
def linear_cfg(*, model: Model, min_cfg: LeastCfg = 1.0) -> Model:
    """Guide each picture of a batch more than the one before."""
    return model.changed("linear_cfg", min_cfg=min_cfg)


@node("VideoTriangleCFGGuidance", runs_on=Stage.INLINE, category="sampling/video_models")
def triangle_cfg(*, model: Model, min_cfg: LeastCfg = 1.0) -> Model:
    """Guide the pictures in the middle of a batch most."""
    return model.changed("triangle_cfg", min_cfg=min_cfg)


@node("Epsilon Scaling", runs_on=Stage.INLINE, category="model_patches/unet")
def epsilon_scaling(
    *,
    model: Model,
    scaling_factor: Annotated[
        float, Widget(min=0.5, max=1.5, step=0.001, display="number")
    ] = 1.005,
) -> Model:
    """Take a little less noise away at each step than the model predicts."""
    return model.changed("epsilon_scaling", scaling_factor=scaling_factor)


@node(
    "PerpNeg",
    runs_on=Stage.SAMPLE,
    display_name="Perp-Neg (DEPRECATED by Perp-Neg Guider)",
    category="experimental",
    experimental=True,
    deprecated=True,
)
def perp_neg(
    _stage: Conditionings,
    *,
    model: Model,
    empty_conditioning: Conditioning,
    neg_scale: Annotated[float, Widget(min=0.0, max=100.0, step=0.01)] = 1.0,
) -> Model:
    """Guide by what of the negative is perpendicular to the positive."""
    return model.changed("perp_neg", nothing=empty_conditioning, neg_scale=neg_scale)
