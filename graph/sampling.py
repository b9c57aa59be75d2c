"""Descriptions of a sampling run: what a sampler node sends to its stage."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from graph.values import Conditioning, Latent, Link, Model, Tensor

Sigmas: TypeAlias = Annotated[Any, Link("SIGMAS")]  # [steps + 1], float32, falling
ModelSampling: TypeAlias = Any  # the noise levels that a model was trained on

SAMPLER_NAMES = (
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
)
WHOLE_BATCH_SAMPLERS = frozenset({"dpm_adaptive"})  # one step size for all pictures of a batch
SCHEDULER_NAMES = (
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
)


@dataclass(frozen=True)
class SamplerChoice:
    """A sampler by name, with the options that differ from its defaults."""

    link: ClassVar = Link("SAMPLER")
    name: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Noise:
    """Gaussian noise from a seed, drawn per picture on the CPU; `seed` None is no noise at all.

    `sampler_seed` is for the noise that a sampler adds on its way, where that is not `seed`.
    """

    link: ClassVar = Link("NOISE")
    seed: int | None
    sampler_seed: int | None = None


@dataclass(frozen=True, eq=False)
class Guider:
    """How predictions are combined. `kind` names a function of diffusion/guidance/guiders.py."""

    link: ClassVar = Link("GUIDER")
    kind: str
    model: Model
    conditionings: tuple[tuple[str, Conditioning], ...]  # ("positive", ...), ("negative", ...)
    scales: tuple[tuple[str, float], ...] = ()  # ("cfg", 7.0)


@dataclass(frozen=True)
class Rows:
    """The pictures `start` to `stop` of a batch of `of`."""

    start: int
    stop: int
    of: int


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """One run of a sampler over one latent batch, or over some `rows` of it."""

    guider: Guider
    noise: Noise
    sampler: SamplerChoice
    sigmas: Tensor
    latent: Latent
    node_id: str = ""  # whose progress this is
    rows: Rows | None = None
