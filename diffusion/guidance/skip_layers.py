"""Guidance away from a transformer that lacks some of its blocks. (Hyung et al. 2024)

(ComfyUI comfy_extras/nodes_slg.py)
"""

from torch import Tensor

from diffusion.batch.rows import Asking
from diffusion.guidance.guided import After, Predicted
from diffusion.guidance.network_changes import skipping
from graph.values import Change


def skip_layer_guidance(change: Change) -> After:
    """Away from a prediction without `double` and `single` blocks, in a part of the schedule."""
    scale, rescaling = float(change["scale"]), float(change["rescaling_scale"])

    def after(predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
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
