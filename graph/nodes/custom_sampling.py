"""Sampling in parts: noise, guiders, samplers, sigmas."""

from typing import Annotated, Literal

from graph.node import Widget, node
from graph.nodes.sampling import Cfg, OwnRows, Seed, cfg_guider
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest, Sigmas
from graph.stages import Stage
from graph.stages.sample import Sampling
from graph.values import Conditioning, Latent, Model

NegScale = Annotated[float, Widget(min=0.0, max=100.0, step=0.01)]


@node(
    "SamplerCustom",
    runs_on=Stage.SAMPLE,
    category="sampling/custom_sampling",
    outputs=("output", "denoised_output"),
    costly=True,
    splits_batch="latent_image",
)
async def sample_custom(
    stage: Sampling,
    *,
    model: Model,
    add_noise: bool = True,
    noise_seed: Seed = 0,
    cfg: Cfg = 8.0,
    positive: Conditioning,
    negative: Conditioning,
    sampler: SamplerChoice,
    sigmas: Sigmas,
    latent_image: Latent,
    rows: OwnRows = None,
) -> tuple[Latent, Latent]:
    """Denoise a latent with a sampler and a schedule of one's own."""
    guider = cfg_guider(model, positive, negative, cfg)
    noise = Noise(noise_seed if add_noise else None, noise_seed)
    request = SampleRequest(guider, noise, sampler, sigmas, latent_image, rows=rows)
    return await stage.sample(request)


@node(
    "SamplerCustomAdvanced",
    runs_on=Stage.SAMPLE,
    category="sampling/custom_sampling",
    outputs=("output", "denoised_output"),
    costly=True,
    splits_batch="latent_image",
)
async def sample_custom_advanced(
    stage: Sampling,
    *,
    noise: Noise,
    guider: Guider,
    sampler: SamplerChoice,
    sigmas: Sigmas,
    latent_image: Latent,
    rows: OwnRows = None,
) -> tuple[Latent, Latent]:
    """Denoise a latent with noise, guider, sampler and schedule of one's own."""
    request = SampleRequest(guider, noise, sampler, sigmas, latent_image, rows=rows)
    return await stage.sample(request)


@node("RandomNoise", runs_on=Stage.INLINE, category="sampling/custom_sampling/noise")
def random_noise(*, noise_seed: Seed = 0) -> Noise:
    """Name the noise of a seed."""
    return Noise(noise_seed)


@node("DisableNoise", runs_on=Stage.INLINE, category="sampling/custom_sampling/noise")
def no_noise() -> Noise:
    """Start from the latent as it is."""
    return Noise(None)


@node("AddNoise", runs_on=Stage.SAMPLE, category="_for_testing/custom_sampling/noise")
async def add_noise(
    stage: Sampling, *, model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent
) -> Latent:
    """Add the noise of a schedule's beginning to a latent."""
    return await stage.add_noise(model, noise, sigmas, latent_image)


@node("CFGGuider", runs_on=Stage.SAMPLE, category="sampling/custom_sampling/guiders")
def guide_by_cfg(
    _: object,
    *,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    cfg: Cfg = 8.0,
) -> Guider:
    """Follow a prompt, away from another."""
    return cfg_guider(model, positive, negative, cfg)


@node("BasicGuider", runs_on=Stage.SAMPLE, category="sampling/custom_sampling/guiders")
def guide_by_one(_: object, *, model: Model, conditioning: Conditioning) -> Guider:
    """Follow a prompt, and nothing else."""
    return Guider("basic", model, (("positive", conditioning),))


@node("DualCFGGuider", runs_on=Stage.SAMPLE, category="sampling/custom_sampling/guiders")
def guide_by_two(
    _: object,
    *,
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: Cfg = 8.0,
    cfg_cond2_negative: Cfg = 8.0,
    style: Literal["regular", "nested"],
) -> Guider:
    """Follow a prompt away from a second, and that one away from a third."""
    return Guider(
        "dual_cfg_nested" if style == "nested" else "dual_cfg",
        model,
        (("positive", cond1), ("middle", cond2), ("negative", negative)),
        (("cfg1", cfg_conds), ("cfg2", cfg_cond2_negative)),
    )


@node("PerpNegGuider", runs_on=Stage.SAMPLE, category="_for_testing", experimental=True)
def guide_by_perp_neg(
    _: object,
    *,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    empty_conditioning: Conditioning,
    cfg: Cfg = 8.0,
    neg_scale: NegScale = 1.0,
) -> Guider:
    """Follow a prompt, away from what of another does not contradict it."""
    prompts = (
        ("positive", positive),
        ("negative", negative),
        ("empty_negative_prompt", empty_conditioning),
    )
    return Guider("perp_neg", model, prompts, (("cfg", cfg), ("neg_scale", neg_scale)))
