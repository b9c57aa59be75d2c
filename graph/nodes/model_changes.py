"""Changes to a model: parameterization, noise levels and guidance.

Nodes only describe; diffusion/guidance/model_changes.py lists who makes which kind of change.
"""

from typing import Annotated, Literal

from graph.node import MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.values import Model

Sigma = Annotated[float, Widget(min=0.0, max=1000.0, step=0.001, round=False)]
Shift = Annotated[float, Widget(min=0.0, max=100.0, step=0.01)]
Side = Annotated[int, Widget(min=16, max=16384, step=8)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]


@node("ModelSamplingDiscrete", runs_on=Stage.INLINE, category="advanced/model")
def sample_discrete(
    *,
    model: Model,
    sampling: Literal["eps", "v_prediction", "lcm", "x0", "img_to_img"],
    zsnr: bool = False,
) -> Model:
    """Say what a model predicts, over the noise levels of Stable Diffusion."""
    return model.changed("model_sampling_discrete", sampling=sampling, zsnr=zsnr)


@node("ModelSamplingContinuousEDM", runs_on=Stage.INLINE, category="advanced/model")
def sample_continuous_edm(
    *,
    model: Model,
    sampling: Literal["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"],
    sigma_max: Sigma = 120.0,
    sigma_min: Sigma = 0.002,
) -> Model:
    """Say what a model predicts, over noise levels of one's own."""
    return model.changed(
        "model_sampling_continuous_edm",
        sampling=sampling,
        sigma_max=sigma_max,
        sigma_min=sigma_min,
    )


@node("ModelSamplingContinuousV", runs_on=Stage.INLINE, category="advanced/model")
def sample_continuous_v(
    *,
    model: Model,
    sampling: Literal["v_prediction"],
    sigma_max: Sigma = 500.0,
    sigma_min: Sigma = 0.03,
) -> Model:
    """Let a model predict v over noise levels of one's own."""
    return model.changed(
        "model_sampling_continuous_v", sampling=sampling, sigma_max=sigma_max, sigma_min=sigma_min
    )


@node("ModelSamplingSD3", runs_on=Stage.INLINE, category="advanced/model")
def sample_sd3(*, model: Model, shift: Shift = 3.0) -> Model:
    """Shift the noise levels of a flow model."""
    return model.changed("model_sampling_sd3", shift=shift)


@node("ModelSamplingAuraFlow", runs_on=Stage.INLINE, category="advanced/model")
def sample_aura_flow(*, model: Model, shift: Shift = 1.73) -> Model:
    """Shift the noise levels of a flow model whose time goes from 0 to 1."""
    return model.changed("model_sampling_aura_flow", shift=shift)


@node("ModelSamplingFlux", runs_on=Stage.INLINE, category="advanced/model")
def sample_flux(
    *,
    model: Model,
    max_shift: Shift = 1.15,
    base_shift: Shift = 0.5,
    width: Side = 1024,
    height: Side = 1024,
) -> Model:
    """Shift the noise levels of a flow model by the size of the picture."""
    tokens = width * height / (16 * 16)
    slope = (max_shift - base_shift) / (4096 - 256)
    return model.changed("model_sampling_flux", shift=base_shift + slope * (tokens - 256))


@node(
    "ModelSamplingStableCascade",
    runs_on=Stage.INLINE,
    display_name="ModelSamplingStableCascade",
    category="model/patch/stable cascade",
)
def sample_cascade(*, model: Model, shift: Shift = 2.0) -> Model:
    """Sample over the noise levels of Stable Cascade."""
    return model.changed("model_sampling_stable_cascade", shift=shift)


@node("ModelComputeDtype", runs_on=Stage.INLINE, category="advanced/debug")
def compute_in(
    *,
    model: Model,
    dtype: Literal["default", "fp32", "fp16", "bf16"],  # noqa: ARG001
) -> Model:
    """Pass the model on: in which precision it computes is the service's own."""
    return model


@node("TorchCompileModel", runs_on=Stage.INLINE, category="experimental", experimental=True)
def compile_model(*, model: Model, backend: Literal["inductor", "cudagraphs"]) -> Model:  # noqa: ARG001
    """Pass the model on: what is compiled is the service's own."""
    return model


@node("RescaleCFG", runs_on=Stage.INLINE, category="advanced/model")
def rescale_cfg(*, model: Model, multiplier: Share = 0.7) -> Model:
    """Keep strong guidance from raising the contrast."""
    return model.changed("rescale_cfg", multiplier=multiplier)


@node(
    "PerturbedAttentionGuidance",
    runs_on=Stage.INLINE,
    category="model_patches/unet",
)
def perturbed_attention(
    *,
    model: Model,
    scale: Annotated[float, Widget(min=0.0, max=100.0, step=0.01, round=0.01)] = 3.0,
) -> Model:
    """Guide away from what the model makes when its self-attention sees nothing."""
    return model.changed("perturbed_attention", scale=scale)


@node(
    "SelfAttentionGuidance",
    runs_on=Stage.INLINE,
    display_name="Self-Attention Guidance",
    category="_for_testing",
    experimental=True,
)
def self_attention_guidance(
    *,
    model: Model,
    scale: Annotated[float, Widget(min=-2.0, max=5.0, step=0.01)] = 0.5,
    blur_sigma: Annotated[float, Widget(min=0.0, max=10.0, step=0.1)] = 2.0,
) -> Model:
    """Guide away from what the model makes of a picture blurred where it looks."""
    return model.changed("self_attention_guidance", scale=scale, blur_sigma=blur_sigma)


@node(
    "TCFG",
    runs_on=Stage.INLINE,
    display_name="Tangential Damping CFG",
    category="advanced/guidance",
    outputs=("patched_model",),
)
def tcfg(*, model: Model) -> Model:
    """Guide without what the negative says across the positive."""
    return model.changed("tcfg")


@node(
    "APG",
    runs_on=Stage.INLINE,
    display_name="Adaptive Projected Guidance",
    category="sampling/custom_sampling",
)
def apg(
    *,
    model: Model,
    eta: Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)] = 1.0,
    norm_threshold: Annotated[float, Widget(min=0.0, max=50.0, step=0.1)] = 5.0,
    momentum: Annotated[float, Widget(min=-5.0, max=1.0, step=0.01)] = 0.0,
) -> Model:
    """Guide strongly without burning colours out."""
    return model.changed("apg", eta=eta, norm_threshold=norm_threshold, momentum=momentum)


@node(
    "Mahiro",
    runs_on=Stage.INLINE,
    display_name=("Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)"),
    category="_for_testing",
    outputs=("patched_model",),
    experimental=True,
)
def mahiro(*, model: Model) -> Model:
    """Guide by how far the guided prediction agrees with the positive."""
    return model.changed("mahiro")


@node(
    "CFGZeroStar",
    runs_on=Stage.INLINE,
    category="advanced/guidance",
    outputs=("patched_model",),
)
def cfg_zero_star(*, model: Model) -> Model:
    """Guide against a negative that is scaled to fit the positive."""
    return model.changed("cfg_zero_star")


@node(
    "CFGNorm",
    runs_on=Stage.INLINE,
    category="advanced/guidance",
    outputs=("patched_model",),
    experimental=True,
)
def cfg_norm(*, model: Model, strength: Shift = 1.0) -> Model:
    """Guide without making any latent pixel longer than the positive does."""
    return model.changed("cfg_norm", strength=strength)


@node(
    "DifferentialDiffusion",
    runs_on=Stage.INLINE,
    display_name="Differential Diffusion",
    category="_for_testing",
    experimental=True,
)
def differential_diffusion(
    *, model: Model, strength: Annotated[Share, MayBeAbsent()] = 1.0
) -> Model:
    """Change each part of a picture as much as its mask is bright."""
    return model.changed("differential_diffusion", strength=strength)
