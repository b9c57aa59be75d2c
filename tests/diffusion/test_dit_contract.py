"""Narrow transformers against ComfyUI 0.3.64's own: tests/contract/dit.npz.

It holds what comfy.ldm.flux.model.Flux (DEV) and comfy.ldm.modules.diffusionmodules.mmdit.MMDiT
(SD3, SD35) answer, filled by `drawn_module`, to the calls below.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from diffusion.dit.call import Added, DitCall
from diffusion.families.flux.network import flux
from diffusion.families.sd3.network import sd3
from tests.diffusion.dit_files import DEV, SD3, SD35, drawn_module
from tests.diffusion.model_files import recorded
from tests.diffusion.narrow_stage import drawn

CALL = DitCall(
    sample=drawn(1, 2, 16, 8, 6),
    times=torch.full((2,), 0.7),
    context=drawn(2, 2, 5, 32),
    pooled=drawn(3, 2, 24),
    guidance=torch.full((2,), 3.5),
)
REFERENCES = (drawn(4, 2, 16, 6, 4), drawn(5, 2, 16, 5, 9), drawn(6, 2, 16, 4, 4))
BEHIND = Added(
    double=(drawn(8, 2, 12, 64),),
    single=(drawn(9, 2, 12, 64),),
)
ODD = CALL.sample[..., :7, :5]
CALLS = {
    "flux": CALL,
    "flux_odd": replace(CALL, sample=ODD),
    "flux_unguided": replace(CALL, guidance=None),
    "flux_offset": replace(CALL, references=REFERENCES),
    "flux_index": replace(CALL, references=REFERENCES, places="index"),
    "flux_uxo": replace(CALL, references=REFERENCES, places="uxo"),
    "flux_bias": replace(CALL, bias=drawn(7, 5, 6)),
    "flux_control": replace(CALL, added=BEHIND),
    "flux_skipped": replace(CALL, skipped={"double": frozenset({1}), "single": frozenset({0, 2})}),
}
TIMED = replace(CALL, times=CALL.times * 1000)
module = cache(drawn_module)


def close(answer: Any, name: str) -> bool:
    return torch.allclose(answer, recorded("dit")[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CALLS)
def test_flux_answers_as_in_comfyui(name: str) -> None:
    assert close(flux(module(DEV), CALLS[name]), name)


@pytest.mark.parametrize(("name", "shape"), [("sd3", SD3), ("sd35", SD35)])
def test_stable_diffusion_3_answers_as_in_comfyui(name: str, shape: Any) -> None:
    assert close(sd3(module(shape), TIMED), name)
    assert close(sd3(module(shape), replace(TIMED, sample=ODD)), f"{name}_odd")
