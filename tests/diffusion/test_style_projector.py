"""USO's style projector against ComfyUI 0.33.0: tests/contract/style_projector.npz.

It holds the tokens that SigLIPMultiFeatProjModel, filled by `seeded`, makes of drawn states, and
what the Flux of test_dit_contract.py answers under UsoStyleProjectorPatch.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.dit.patches import Behind, PatchPictures
from diffusion.families.flux.network import flux
from diffusion.families.flux.style import PREFIX, Projector, StyleNotSeenError, StyleProjector
from diffusion.families.registry import FAMILIES
from graph.values import ClipVisionOutput, ModelFile, ModelPatch, PatchUse
from tests.diffusion.dit_files import DEV, drawn_module
from tests.diffusion.model_files import CPU, recorded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_dit_contract import CALL
from tests.diffusion.test_text_encoder import in_memory

RECORDED = recorded("style_projector")
STATES = drawn(31, 1, 3, 9, 12)  # high, mid, low


def projector_tensors() -> dict[str, Tensor]:
    with torch.device("meta"):
        named = Projector(9, 4, 12, DEV.width).named_parameters()
    return {PREFIX + name: seeded(name, tuple(own.shape)) for name, own in named}


def projector() -> StyleProjector:
    weights = in_memory(projector_tensors())
    (kind,) = (kind for kind in FAMILIES.patches if kind.mine(weights))
    found: Any = kind.load(weights, torch.float32, CPU)
    assert isinstance(found, StyleProjector)
    return found


def pictures(style: Tensor | None) -> PatchPictures:
    seen = ClipVisionOutput(STATES[:, 0], STATES[:, 0], STATES[:, 0], style)
    use = PatchUse(ModelPatch(ModelFile("model_patches", "uso.safetensors")), seen=seen)
    return PatchPictures(use, None, 48, 64, CPU)


def test_flux_is_told_what_comfyuis_is() -> None:
    own = projector()
    guide = own.guide(pictures(STATES))
    assert torch.allclose(guide, RECORDED["tokens"], atol=2e-5)
    answer = flux(drawn_module(DEV), replace(CALL, behind=(Behind(own, guide, 1.0),)))
    assert torch.allclose(answer, RECORDED["flux"], atol=2e-5, rtol=1e-4)


def test_other_encoders_and_models_are_refused() -> None:
    own = projector()
    with pytest.raises(StyleNotSeenError):
        own.guide(pictures(None))
    assert own.misfit(DEV) is None
    assert "width 64" in str(own.misfit(replace(DEV, width=128)))
