"""Applies ControlNets to conditions. (ComfyUI nodes.py, ControlNetApply and its Advanced form)"""

from dataclasses import replace

from diffusion.batch.conditions import set_mask
from graph.image_prompts import ImagePrompt
from graph.values import Conditioning, ControlNet, ControlUse, Steering, Tensor, Vae


def apply_control(
    conditioning: Conditioning, net: ControlNet, hint: Tensor, strength: float
) -> Conditioning:
    """All under `net` too, whose negatives will be so as well unless they have their own."""
    if strength == 0:
        return conditioning
    use = ControlUse(net, hint, strength)
    return tuple(
        replace(c, controls=(*c.controls, use), control_apply_to_uncond=True) for c in conditioning
    )


def apply_control_to_both(
    positive: Conditioning,
    negative: Conditioning,
    net: ControlNet,
    hint: Tensor,
    *,
    strength: float,
    start_percent: float,
    end_percent: float,
    vae: Vae | None = None,
    mask: Tensor | None = None,
    steering: Steering | None = None,
    uncond_multiplier: float = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """All of both under `net`, from one part of the schedule to another; the negative less so."""
    if strength == 0:
        return positive, negative
    use = ControlUse(net, hint, strength, start_percent, end_percent, vae, mask, steering)
    less = use
    if uncond_multiplier != 1.0:
        less = replace(use, strength=strength * uncond_multiplier)

    def under(conditioning: Conditioning, use: ControlUse) -> Conditioning:
        return tuple(
            replace(c, controls=(*c.controls, use), control_apply_to_uncond=False)
            for c in conditioning
        )

    return under(positive, use), under(negative, less)


def apply_face_control(
    positive: Conditioning,
    negative: Conditioning,
    net: ControlNet,
    hint: Tensor,
    prompt: ImagePrompt,
    *,
    strength: float,
    start_percent: float,
    end_percent: float,
    mask: Tensor | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Both under a `net` that reads the tokens of faces, and the positive where `mask` is.

    (cubiq/ComfyUI_InstantID InstantID.py, ApplyInstantID)
    """

    def under(conditioning: Conditioning, tokens: Tensor) -> Conditioning:
        use = ControlUse(net, hint, strength, start_percent, end_percent, tokens=tokens)
        return tuple(
            replace(c, controls=(*c.controls, use), control_apply_to_uncond=False)
            for c in conditioning
        )

    if mask is not None:
        positive = set_mask(positive, mask, 1.0, bounds=False)
    return under(positive, prompt.positive), under(negative, prompt.negative)
