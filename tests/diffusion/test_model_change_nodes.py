"""Changes that nodes lay on models, by what they come to in a sampler."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from diffusion.samplers.ksampler import ksampler_sigmas
from graph.nodes.guidance_scaling import perp_neg
from graph.nodes.ltx_video import shift_by_size
from graph.nodes.model_changes import sample_cascade
from graph.values import Latent, Model
from tests.diffusion.core_sampling import close
from tests.diffusion.narrow_stage import NARROW, narrow_stage, prompt, request, write_models

STAGE = cast(Any, None)  # of which these nodes ask nothing


async def test_they_do_what_comfyuis_do(tmp_path: Path) -> None:
    write_models(tmp_path)
    stage = narrow_stage(tmp_path)
    plain = Model(NARROW)
    laid = {
        "perp_neg": perp_neg(STAGE, model=plain, empty_conditioning=prompt(201), neg_scale=1.3),
        "cascade": sample_cascade(model=plain),
        "ltxv": shift_by_size(STAGE, model=plain, latent=Latent(torch.zeros(1, 4, 3, 16, 32))),
    }
    for name, model in laid.items():
        sampling = await stage.model_sampling(model)
        asked = request(model=model, positive=prompt(1), negative=prompt(101))
        sigmas = ksampler_sigmas(sampling, "euler", "normal", 3, 1.0)
        found, _ = await stage.sample(replace(asked, sigmas=sigmas))
        assert close(found.samples, f"changes/{name}"), name
    await stage.close()


def test_a_flow_without_a_video_is_shifted_as_far_as_it_may() -> None:
    (change,) = shift_by_size(STAGE, model=Model(NARROW)).changes
    assert change["shift"] == 2.05
