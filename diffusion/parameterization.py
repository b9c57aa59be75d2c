"""Parameterizations: what the output of a diffusion model means (eps, v, flow ...)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Parameterization:
    """What the model's output means, and the noise levels it was trained on where they are given.

    `kind`: "eps", "v" (both over the discrete 1000-step schedule), "edm" or "v_edm" (continuous,
    from `sigma_min` to `sigma_max`), "flow" or "exponential_flow" (rectified flows, moved
    by `shift` or by its exponential; the network is told the time times `multiplier`), "img_to_img"
    (it is given a picture and gives another, over the discrete schedule). `zsnr`: the schedule ends
    in pure noise. `betas` are the ends of the discrete schedule where they are not the usual ones.
    """

    kind: Literal["eps", "v", "edm", "v_edm", "flow", "exponential_flow", "img_to_img"]
    zsnr: bool = False
    sigma_min: float | None = None
    sigma_max: float | None = None
    sigma_data: float = 1.0
    shift: float = 1.0
    multiplier: float = 1000.0
    betas: tuple[float, float] | None = None
