"""Changes applied to a model, by kind, and the model's noise levels under them.

Changes of weights belong to whoever loads them, those of guidance to guidance_changes.py, those of
how the network is run to attention.py. All kinds are listed here, so an unknown one is refused
before anything is loaded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.guidance.changes import GUIDANCE_CHANGES
from diffusion.guidance.network_changes import NETWORK_CHANGES
from diffusion.latent_format import PLAYGROUND_LATENT
from diffusion.parameterization import Parameterization
from diffusion.schedules.beta_schedules import of_beta_schedule
from diffusion.schedules.model_sampling import (
    ModelSampling,
    Prediction,
    continuous_edm,
    continuous_v,
    discrete,
    exponential_flow,
    flow,
    stable_cascade,
)
from graph.errors import ServiceError
from graph.motion import BETA_SCHEDULE
from graph.values import Change

CONTINUOUS_EDM = "model_sampling_continuous_edm"
LATENT_SCALE = "latent_scale"  # of latents on links in the model's
PLAYGROUND = "edm_playground_v2.5"
MaskFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (sigma, mask) -> mask


@dataclass(eq=False)
class UnknownModelChangeError(ServiceError):
    """A change that nobody here knows how to make."""

    status = 422
    code = "unknown_model_change"
    template = "The model change {kind!r} is not supported."
    kind: str


USUAL_BETAS = (0.00085, 0.012)
DISCRETE: Mapping[str, Prediction] = MappingProxyType(
    {"eps": "eps", "v": "v", "img_to_img": "img_to_img"}
)
PREDICTIONS: Mapping[str, Prediction] = MappingProxyType(
    {
        "eps": "eps",
        "v_prediction": "v",
        "lcm": "lcm",
        "x0": "x0",
        "img_to_img": "img_to_img",
        "edm": "edm",
        PLAYGROUND: "edm",
        "cosmos_rflow": "cosmos_rflow",
    }
)


def _discrete(change: Change) -> ModelSampling:
    return discrete(PREDICTIONS[change["sampling"]], zsnr=bool(change["zsnr"]))


def _continuous_edm(change: Change) -> ModelSampling:
    prediction = PREDICTIONS[change["sampling"]]
    return continuous_edm(
        prediction,
        sigma_min=change["sigma_min"],
        sigma_max=change["sigma_max"],
        sigma_data=0.5 if prediction == "edm" else 1.0,
    )


def _continuous_v(change: Change) -> ModelSampling:
    return continuous_v(sigma_min=change["sigma_min"], sigma_max=change["sigma_max"])


SAMPLING_CHANGES: Mapping[str, Callable[[Change], ModelSampling]] = MappingProxyType(
    {
        "model_sampling_discrete": _discrete,
        CONTINUOUS_EDM: _continuous_edm,
        "model_sampling_continuous_v": _continuous_v,
        "model_sampling_sd3": lambda change: flow(shift=change["shift"]),
        "model_sampling_aura_flow": lambda change: flow(shift=change["shift"], multiplier=1.0),
        "model_sampling_stable_cascade": lambda change: stable_cascade(shift=change["shift"]),
        "model_sampling_flux": lambda change: exponential_flow(shift=change["shift"]),
    }
)


def differential_diffusion(change: Change, sampling: ModelSampling, sigmas: Tensor) -> MaskFunction:
    """Each part of the mask opens when as much of the way is left as it is strong (Levin 2023).

    (ComfyUI comfy_extras/nodes_differential_diffusion.py)
    """
    strength = float(change["strength"])
    last = max(sigmas[-1], sampling.sigma_min)
    start, end = sampling.timestep(sigmas[0]), sampling.timestep(last)

    def mask_at(sigma: Tensor, mask: Tensor) -> Tensor:
        left = (sampling.timestep(sigma) - end) / (start - end)
        opened = (mask >= left.to(mask.device)).to(mask.dtype)
        return strength * opened + (1 - strength) * mask if 0 < strength < 1 else opened

    return mask_at


MASK_CHANGES: Mapping[str, Callable[[Change, ModelSampling, Tensor], MaskFunction]] = (
    MappingProxyType({"differential_diffusion": differential_diffusion})
)


def check_changes(changes: Iterable[Change], others: Iterable[str]) -> None:
    """Raises UnknownModelChangeError for the first kind that is in no table, nor among `others`.

    Those are of weights, of pictures, and what families make of how their networks are run.
    """
    known = {
        *others,
        BETA_SCHEDULE,
        LATENT_SCALE,
        *SAMPLING_CHANGES,
        *GUIDANCE_CHANGES,
        *MASK_CHANGES,
        *NETWORK_CHANGES,
    }
    for change in changes:
        if change.kind not in known:
            raise UnknownModelChangeError(change.kind)


def model_sampling(parameterization: Parameterization, changes: Iterable[Change]) -> ModelSampling:
    """The model's own noise levels, or those of the last change that names others."""
    kinds = {*SAMPLING_CHANGES, BETA_SCHEDULE}
    applied = [change for change in changes if change.kind in kinds]
    if not applied:
        return own_sampling(parameterization)
    last = applied[-1]
    if last.kind == BETA_SCHEDULE:
        return of_beta_schedule(last["name"], "v" if parameterization.kind == "v" else "eps")
    return SAMPLING_CHANGES[last.kind](last)


def in_latent_format(model: LoadedModel, changes: Iterable[Change]) -> LoadedModel:
    """`model` with the scale of latents that a change says or brings along.

    What brings one along does so to a model of as many channels.

    (ComfyUI comfy_extras/nodes_model_advanced.py, ModelSamplingContinuousEDM)
    """
    changes = tuple(changes)
    scales = [change["scale"] for change in changes if change.kind == LATENT_SCALE]
    if scales:
        return replace(model, latent_format=replace(model.latent_format, scale=scales[-1]))
    samplings = [change["sampling"] for change in changes if change.kind == CONTINUOUS_EDM]
    if PLAYGROUND not in samplings or model.latent_format.channels != PLAYGROUND_LATENT.channels:
        return model
    return replace(model, latent_format=PLAYGROUND_LATENT)


def own_sampling(own: Parameterization) -> ModelSampling:
    """What the checkpoint was trained with."""
    if own.kind in DISCRETE:
        start, end = own.betas or USUAL_BETAS
        kind = DISCRETE[own.kind]
        return discrete(kind, zsnr=own.zsnr, linear_start=start, linear_end=end)
    if own.kind == "flow":
        return flow(shift=own.shift, multiplier=own.multiplier)
    if own.kind == "exponential_flow":
        return exponential_flow(shift=own.shift)
    assert own.sigma_min is not None
    assert own.sigma_max is not None
    return continuous_edm(
        "edm" if own.kind == "edm" else "v",
        sigma_min=own.sigma_min,
        sigma_max=own.sigma_max,
        sigma_data=own.sigma_data,
    )


def mask_function(
    changes: Iterable[Change], sampling: ModelSampling, sigmas: Tensor
) -> MaskFunction | None:
    """How the inpainting mask changes from step to step, where a change says so."""
    applied = [change for change in changes if change.kind in MASK_CHANGES]
    return MASK_CHANGES[applied[-1].kind](applied[-1], sampling, sigmas) if applied else None
