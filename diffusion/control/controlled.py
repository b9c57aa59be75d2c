"""Conditions told which ControlNets they are under, and which of them lend theirs to others.

(ComfyUI nodes.py, ControlNetApply and ControlNetApplyAdvanced; comfy/samplers.py,
apply_empty_x_to_equal_area)
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graph.values import Conditioning, ControlNet, ControlUse, Tensor, Vae

if TYPE_CHECKING:
    from diffusion.batch.prompts import Prompt


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
) -> tuple[Conditioning, Conditioning]:
    """All of both under `net`, from one part of the schedule to another."""
    if strength == 0:
        return positive, negative
    use = ControlUse(net, hint, strength, start_percent, end_percent, vae, mask)

    def under(conditioning: Conditioning) -> Conditioning:
        return tuple(
            replace(c, controls=(*c.controls, use), control_apply_to_uncond=False)
            for c in conditioning
        )

    return under(positive), under(negative)


def lend_controls(prompts: Mapping[str, "list[Prompt]"]) -> None:
    """Put the prompts beside the positive that have no control under that of its lenders.

    Only what applies to the whole picture lends or borrows. Writes to the lists.
    """
    lenders = [
        prompt
        for prompt in prompts.get("positive", ())
        if prompt.lends_controls and prompt.controls and prompt.region.box is None
    ]
    for name, own in prompts.items():
        whole = [place for place, prompt in enumerate(own) if prompt.region.box is None]
        if name == "positive" or not whole or any(own[place].controls for place in whole):
            continue
        for turn, lender in enumerate(lenders):
            place = whole[turn % len(whole)]
            own[place] = replace(own[place], controls=lender.controls)
