"""Maps the hosted API's schedulers (diffusers class names) to ComfyUI's sampler and scheduler."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.hosted.problems import wrong_field
from graph.sampling import SAMPLER_NAMES

SDE = frozenset({"sde-dpmsolver++", "dpmsolver+++"})  # the second is the hosted API's own spelling


@dataclass(frozen=True)
class Sampling:
    """KSampler's two names; `karras` says whether the class can follow Karras' sigmas."""

    sampler_name: str
    scheduler: str = "normal"
    karras: bool = True


# By diffusers' schedulers/*; the class for DPM++ SDE is what the hosted API's A1111 table says.
SCHEDULERS: Mapping[str, Sampling] = {
    "DDPMScheduler": Sampling("ddpm", karras=False),
    "DDIMScheduler": Sampling("ddim", "ddim_uniform", karras=False),
    "DDIMInverseScheduler": Sampling("ddim", "ddim_uniform", karras=False),
    "PNDMScheduler": Sampling("ipndm", karras=False),
    "IPNDMScheduler": Sampling("ipndm", karras=False),
    "LMSDiscreteScheduler": Sampling("lms"),
    "EulerDiscreteScheduler": Sampling("euler"),
    "EulerAncestralDiscreteScheduler": Sampling("euler_ancestral", karras=False),
    "HeunDiscreteScheduler": Sampling("heun"),
    "KDPM2DiscreteScheduler": Sampling("dpm_2"),
    "KDPM2AncestralDiscreteScheduler": Sampling("dpm_2_ancestral"),
    "DPMSolverMultistepScheduler": Sampling("dpmpp_2m"),
    "DPMSolverSinglestepScheduler": Sampling("dpmpp_sde"),
    "UniPCMultistepScheduler": Sampling("uni_pc"),
    "DEISMultistepScheduler": Sampling("deis"),
    "KarrasVeScheduler": Sampling("heun", "karras"),
    "ScoreSdeVeScheduler": Sampling("er_sde", karras=False),
    "LCMScheduler": Sampling("lcm", "sgm_uniform", karras=False),
}
DEFAULT = "UniPCMultistepScheduler"


def sampling(name: str | None, *, karras: bool, algorithm: str | None) -> Sampling:
    """The sampler and schedule of a request; ComfyUI's own sampler names are taken too.

    Raises:
        HostedFieldsError: there is no such scheduler.
    """
    known = SCHEDULERS.get(name or DEFAULT)
    if known is None and name in SAMPLER_NAMES:
        known = Sampling(str(name))
    if known is None:
        raise wrong_field("scheduler", f"must be one of {', '.join(SCHEDULERS)}", name)
    sampler = known.sampler_name
    if sampler == "dpmpp_2m" and algorithm in SDE:
        sampler = "dpmpp_2m_sde"
    return Sampling(sampler, "karras" if karras and known.karras else known.scheduler)
