"""Guidance away from a transformer that lacks some of its blocks. (Hyung et al. 2024)

(ComfyUI comfy_extras/nodes_slg.py)
"""

from typing import TYPE_CHECKING

from torch import Tensor

from diffusion.batch.patches import SKIP_BLOCKS
from diffusion.batch.rows import Asking
from graph.values import Change

if TYPE_CHECKING:
    from diffusion.guidance.changes import After, Predicted

SKIP_OF_NEGATIVE = "skip_negative_layers"  # a change to how the network is run


def skipping(change: Change) -> Change:
    """The patch of rows that leaves out the blocks of a change."""
    return Change(SKIP_BLOCKS, tuple((kind, change[kind]) for kind in ("double", "single")))


def skip_layer_guidance(change: Change) -> "After":
    """Away from a prediction without `double` and `single` blocks, in a part of the schedule."""
    scale, rescaling = float(change["scale"]), float(change["rescaling_scale"])

    def after(predicted: "Predicted", denoised: Tensor) -> Asking[Tensor]:
        sampling, sigma = predicted.guided.sampling, float(predicted.sigma)
        first, last = (
            sampling.percent_to_sigma(change[part]) for part in ("start_percent", "end_percent")
        )
        if scale <= 0 or not last <= sigma <= first:
            return denoised
        blind = predicted.guided.patched(skipping(change))
        (without,) = yield from blind.predict(predicted.x, predicted.sigma, predicted.cond_name)
        denoised = denoised + (predicted.cond - without) * scale
        if rescaling != 0:
            factor = predicted.cond.std() / denoised.std()
            denoised = denoised * (rescaling * factor + (1 - rescaling))
        return denoised

    return after
