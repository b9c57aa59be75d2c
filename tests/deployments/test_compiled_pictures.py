"""Pictures of compiled models are ComfyUI's, as those of others are."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.in_process import InProcess, in_process
from deployments.config import AppConfig, SamplerConfig, WarmSizeConfig

KIT = Path(__file__).resolve().parents[1] / "parity"
CASES = ("sampler_euler_normal", "prompt_long", "lora_one", "batch_of_three")
MEAN, FAR, SHARE = 0.5, 8, 0.001  # as tests/parity/compare.py has them


@pytest.fixture(scope="module")
def service(parity_models: Path, pytestconfig: pytest.Config) -> Iterator[InProcess]:
    """The stages in this process, compiled for pictures of the size that all cases have."""
    sampler = SamplerConfig(
        warm_bases=("parity_sd15.safetensors",),
        warm_sizes=(WarmSizeConfig(width=96, height=64, rows=(2,)),),
        compile=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(pytestconfig.cache.mkdir("inductor")))
        with in_process(parity_models, config=AppConfig(sampler=sampler)) as service:
            yield service


@pytest.mark.inductor
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's own
@pytest.mark.parametrize("case", CASES)
def test_a_compiled_model_draws_comfyuis_picture(service: InProcess, case: str) -> None:
    drawn = service.draw(json.loads((KIT / "cases" / f"{case}.json").read_text()))
    assert {picture.shape for picture in drawn} == {(64, 96, 3)}
    expected = sorted((KIT / "expected").glob(f"{case}.*.png"))
    assert len(drawn) == len(expected)
    for ours, file in zip(drawn, expected, strict=True):
        theirs = np.asarray(Image.open(file).convert("RGB"))
        difference = np.abs(ours.astype(np.int16) - theirs.astype(np.int16))
        assert difference.mean() <= MEAN
        assert (difference > FAR).mean() <= SHARE
