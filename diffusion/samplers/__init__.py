"""Samplers: how a latent moves down a sigma schedule, and nothing else."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from diffusion.samplers.deis import deis
from diffusion.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from diffusion.samplers.dpm_solver import dpm_adaptive, dpm_fast
from diffusion.samplers.dpmpp import (
    dpmpp_2m,
    dpmpp_2m_cfg_pp,
    dpmpp_2s_ancestral,
    dpmpp_2s_ancestral_cfg_pp,
)
from diffusion.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from diffusion.samplers.er_sde import er_sde
from diffusion.samplers.euler import (
    euler,
    euler_ancestral,
    euler_ancestral_cfg_pp,
    euler_cfg_pp,
    euler_pp,
)
from diffusion.samplers.gradient_estimation import (
    gradient_estimation,
    gradient_estimation_cfg_pp,
)
from diffusion.samplers.heun import heun, heunpp2
from diffusion.samplers.ipndm import ipndm, ipndm_v
from diffusion.samplers.lcm import ddpm, lcm, lcm_upscale
from diffusion.samplers.lms import lms
from diffusion.samplers.protocol import SamplerType
from diffusion.samplers.res_multistep import (
    res_multistep,
    res_multistep_ancestral,
    res_multistep_ancestral_cfg_pp,
    res_multistep_cfg_pp,
)
from diffusion.samplers.sa_solver import sa_solver, sa_solver_pece
from diffusion.samplers.seeds import seeds_2, seeds_3
from diffusion.samplers.uni_pc import uni_pc

SAMPLERS: Mapping[str, SamplerType] = MappingProxyType(
    {
        "euler": SamplerType(euler),
        "euler_cfg_pp": SamplerType(euler_cfg_pp, wants_uncond=True),
        "euler_ancestral": SamplerType(euler_ancestral),
        "euler_ancestral_cfg_pp": SamplerType(euler_ancestral_cfg_pp, wants_uncond=True),
        "heun": SamplerType(heun),
        "heunpp2": SamplerType(heunpp2),
        "dpm_2": SamplerType(dpm_2, discards_penultimate_sigma=True),
        "dpm_2_ancestral": SamplerType(dpm_2_ancestral, discards_penultimate_sigma=True),
        "lms": SamplerType(lms),
        "dpm_fast": SamplerType(dpm_fast),
        "dpm_adaptive": SamplerType(dpm_adaptive, splits=False),
        "dpmpp_2s_ancestral": SamplerType(dpmpp_2s_ancestral),
        "dpmpp_2s_ancestral_cfg_pp": SamplerType(dpmpp_2s_ancestral_cfg_pp, wants_uncond=True),
        "dpmpp_sde": SamplerType(dpmpp_sde),
        "dpmpp_sde_gpu": SamplerType(partial(dpmpp_sde, gpu_noise=True)),
        "dpmpp_2m": SamplerType(dpmpp_2m),
        "dpmpp_2m_cfg_pp": SamplerType(dpmpp_2m_cfg_pp, wants_uncond=True),
        "dpmpp_2m_sde": SamplerType(dpmpp_2m_sde),
        "dpmpp_2m_sde_gpu": SamplerType(partial(dpmpp_2m_sde, gpu_noise=True)),
        "dpmpp_2m_sde_heun": SamplerType(partial(dpmpp_2m_sde, solver_type="heun")),
        "dpmpp_2m_sde_heun_gpu": SamplerType(
            partial(dpmpp_2m_sde, solver_type="heun", gpu_noise=True)
        ),
        "dpmpp_3m_sde": SamplerType(dpmpp_3m_sde),
        "dpmpp_3m_sde_gpu": SamplerType(partial(dpmpp_3m_sde, gpu_noise=True)),
        "ddpm": SamplerType(ddpm),
        "lcm": SamplerType(lcm),
        "ipndm": SamplerType(ipndm),
        "ipndm_v": SamplerType(ipndm_v),
        "deis": SamplerType(deis),
        "res_multistep": SamplerType(res_multistep),
        "res_multistep_cfg_pp": SamplerType(res_multistep_cfg_pp, wants_uncond=True),
        "res_multistep_ancestral": SamplerType(res_multistep_ancestral),
        "res_multistep_ancestral_cfg_pp": SamplerType(
            res_multistep_ancestral_cfg_pp, wants_uncond=True
        ),
        "gradient_estimation": SamplerType(gradient_estimation),
        "gradient_estimation_cfg_pp": SamplerType(gradient_estimation_cfg_pp, wants_uncond=True),
        "er_sde": SamplerType(er_sde),
        "seeds_2": SamplerType(seeds_2),
        "seeds_3": SamplerType(seeds_3),
        "sa_solver": SamplerType(sa_solver),
        "sa_solver_pece": SamplerType(sa_solver_pece),
        "ddim": SamplerType(euler, redraws_inpaint_noise=True),
        "uni_pc": SamplerType(uni_pc, discards_penultimate_sigma=True),
        "uni_pc_bh2": SamplerType(partial(uni_pc, variant="bh2"), discards_penultimate_sigma=True),
        # Of sampler nodes alone:
        "euler_pp": SamplerType(euler_pp, wants_uncond=True),
        "lcm_upscale": SamplerType(lcm_upscale),
    }
)
