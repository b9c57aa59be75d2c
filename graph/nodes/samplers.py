"""Samplers with options of one's own."""

from typing import Annotated, Any, Literal

from graph.node import Widget, node
from graph.nodes.sampling import SamplerName
from graph.sampling import SamplerChoice
from graph.stages import Stage
from graph.values import Model

CATEGORY = "sampling/custom_sampling/samplers"
Hundred = Annotated[float, Widget(min=0.0, max=100.0, step=0.01, round=False)]
Ten = Annotated[float, Widget(min=0.0, max=10.0, step=0.01, round=False)]
One = Annotated[float, Widget(min=0.0, max=1.0, step=0.01, round=False)]
Percent = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
NoiseDevice = Literal["gpu", "cpu"]


def sampler_with(sampler_name: str, /, **options: Any) -> SamplerChoice:
    return SamplerChoice(sampler_name, tuple(options.items()))


def on_device(name: str, device: NoiseDevice) -> str:
    """The form of a sampler that draws its noise there."""
    return name if device == "cpu" else f"{name}_gpu"


@node("KSamplerSelect", runs_on=Stage.INLINE, category=CATEGORY)
def select_sampler(*, sampler_name: SamplerName) -> SamplerChoice:
    """Name a sampler."""
    return SamplerChoice(sampler_name)


@node("SamplerDPMPP_3M_SDE", runs_on=Stage.INLINE, category=CATEGORY)
def dpmpp_3m_sde(
    *, eta: Hundred = 1.0, s_noise: Hundred = 1.0, noise_device: NoiseDevice
) -> SamplerChoice:
    """DPM-Solver++(3M) SDE."""
    return sampler_with(on_device("dpmpp_3m_sde", noise_device), eta=eta, s_noise=s_noise)


@node("SamplerDPMPP_2M_SDE", runs_on=Stage.INLINE, category=CATEGORY)
def dpmpp_2m_sde(
    *,
    solver_type: Literal["midpoint", "heun"],
    eta: Hundred = 1.0,
    s_noise: Hundred = 1.0,
    noise_device: NoiseDevice,
) -> SamplerChoice:
    """DPM-Solver++(2M) SDE."""
    name = on_device("dpmpp_2m_sde", noise_device)
    return sampler_with(name, eta=eta, s_noise=s_noise, solver_type=solver_type)


@node("SamplerDPMPP_SDE", runs_on=Stage.INLINE, category=CATEGORY)
def dpmpp_sde(
    *,
    eta: Hundred = 1.0,
    s_noise: Hundred = 1.0,
    r: Hundred = 0.5,
    noise_device: NoiseDevice,
) -> SamplerChoice:
    """DPM-Solver++ SDE."""
    return sampler_with(on_device("dpmpp_sde", noise_device), eta=eta, s_noise=s_noise, r=r)


@node("SamplerDPMPP_2S_Ancestral", runs_on=Stage.INLINE, category=CATEGORY)
def dpmpp_2s_ancestral(*, eta: Hundred = 1.0, s_noise: Hundred = 1.0) -> SamplerChoice:
    """DPM-Solver++(2S) with ancestral noise."""
    return sampler_with("dpmpp_2s_ancestral", eta=eta, s_noise=s_noise)


@node("SamplerEulerAncestral", runs_on=Stage.INLINE, category=CATEGORY)
def euler_ancestral(*, eta: Hundred = 1.0, s_noise: Hundred = 1.0) -> SamplerChoice:
    """Euler with ancestral noise."""
    return sampler_with("euler_ancestral", eta=eta, s_noise=s_noise)


@node(
    "SamplerEulerAncestralCFGPP",
    runs_on=Stage.INLINE,
    display_name="SamplerEulerAncestralCFG++",
    category=CATEGORY,
)
def euler_ancestral_cfg_pp(*, eta: One = 1.0, s_noise: Ten = 1.0) -> SamplerChoice:
    """Euler with ancestral noise and CFG++."""
    return sampler_with("euler_ancestral_cfg_pp", eta=eta, s_noise=s_noise)


@node(
    "SamplerEulerCFGpp",
    runs_on=Stage.INLINE,
    display_name="SamplerEulerCFG++",
    category="_for_testing",
    experimental=True,
)
def euler_cfg_pp(*, version: Literal["regular", "alternative"]) -> SamplerChoice:
    """Euler with CFG++."""
    return SamplerChoice("euler_cfg_pp" if version == "regular" else "euler_pp")


@node("SamplerLMS", runs_on=Stage.INLINE, category=CATEGORY)
def lms(*, order: Annotated[int, Widget(min=1, max=100)] = 4) -> SamplerChoice:
    """Linear multistep."""
    return sampler_with("lms", order=order)


@node("SamplerDPMAdaptative", runs_on=Stage.INLINE, category=CATEGORY)
def dpm_adaptive(
    *,
    order: Annotated[int, Widget(min=2, max=3)] = 3,
    rtol: Hundred = 0.05,
    atol: Hundred = 0.0078,
    h_init: Hundred = 0.05,
    pcoeff: Hundred = 0.0,
    icoeff: Hundred = 1.0,
    dcoeff: Hundred = 0.0,
    accept_safety: Hundred = 0.81,
    eta: Hundred = 0.0,
    s_noise: Hundred = 1.0,
) -> SamplerChoice:
    """DPM-Solver whose steps are as long as their error allows."""
    return sampler_with(
        "dpm_adaptive",
        order=order,
        rtol=rtol,
        atol=atol,
        h_init=h_init,
        pcoeff=pcoeff,
        icoeff=icoeff,
        dcoeff=dcoeff,
        accept_safety=accept_safety,
        eta=eta,
        s_noise=s_noise,
    )


@node("SamplerER_SDE", runs_on=Stage.INLINE, category=CATEGORY)
def er_sde(
    *,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"],
    max_stage: Annotated[int, Widget(min=1, max=3)] = 3,
    eta: Hundred = 1.0,
    s_noise: Hundred = 1.0,
) -> SamplerChoice:
    """Extended reverse-time SDE solvers."""
    return sampler_with(
        "er_sde", solver_type=solver_type, max_stage=max_stage, eta=eta, s_noise=s_noise
    )


@node("SamplerSASolver", runs_on=Stage.INLINE, category=CATEGORY)
def sa_solver(
    *,
    model: Model,  # noqa: ARG001 - the model that is sampled says where the percents are
    eta: Ten = 1.0,
    sde_start_percent: Percent = 0.2,
    sde_end_percent: Percent = 0.8,
    s_noise: Hundred = 1.0,
    predictor_order: Annotated[int, Widget(min=1, max=6)] = 3,
    corrector_order: Annotated[int, Widget(min=0, max=6)] = 4,
    use_pece: bool,
    simple_order_2: bool,
) -> SamplerChoice:
    """Stochastic Adams predictor and corrector."""
    return sampler_with(
        "sa_solver",
        eta=eta,
        sde_start_percent=sde_start_percent,
        sde_end_percent=sde_end_percent,
        s_noise=s_noise,
        predictor_order=predictor_order,
        corrector_order=corrector_order,
        use_pece=use_pece,
        simple_order_2=simple_order_2,
    )


@node("SamplerLCMUpscale", runs_on=Stage.INLINE, category=CATEGORY)
def lcm_upscale(
    *,
    scale_ratio: Annotated[float, Widget(min=0.1, max=20.0, step=0.01)] = 1.0,
    scale_steps: Annotated[int, Widget(min=-1, max=1000, step=1)] = -1,
    upscale_method: Literal["bislerp", "nearest-exact", "bilinear", "area", "bicubic"],
) -> SamplerChoice:
    """LCM that makes the latent larger on its way."""
    return sampler_with(
        "lcm_upscale",
        scale_ratio=scale_ratio,
        scale_steps=scale_steps,
        upscale_method=upscale_method,
    )
