"""The noise of AnimateDiff's sample settings against ComfyUI-AnimateDiff-Evolved's own numbers.

`tests/contract/animatediff_noise.json.gz` holds what its commit d8d163c drew with seed 5.
"""

import gzip
import json
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from diffusion.motion.noise import BatchOffsetError, settled_noise
from graph.motion import Context, Drawn, NoiseLayer, SampleSettings, Windows
from tests.diffusion.model_files import CONTRACT, CPU

RECORDED: Mapping[str, list[float]] = dict(
    json.loads(gzip.decompress((CONTRACT / "animatediff_noise.json.gz").read_bytes()))
)
SHAPE = (7, 4, 2, 2)
FOUR = Context(Windows("standard_static", 4, 1))
VIEWED = Context(Windows("standard_static", 6, 2), view=Windows("standard_static", 3, 1))
KINDS = {
    f"{kind}/{seeds}": (SampleSettings(Drawn(kind, seeds, 2, 3)), FOUR)
    for kind in ("constant", "empty", "repeated_context", "FreeNoise")
    for seeds in ("comfy", "auto1111")
}


def layers() -> tuple[NoiseLayer, ...]:
    """That which was added last comes first."""
    drawn = Drawn("default", "use existing", 1, 2)
    mask = torch.arange(16).reshape(1, 4, 4) / 15.0
    return (
        NoiseLayer(Drawn("default", "comfy", 1, 2), "replace", mask=mask),
        NoiseLayer(Drawn("constant", "use existing", 1, 2, 4), "normalized_sum", 0.6, mask=mask),
        NoiseLayer(drawn, "add_weighted", 0.4, 0.7, mask),
        NoiseLayer(drawn, "add", 0.3),
    )


CASES: Mapping[str, tuple[SampleSettings, Context | None]] = {
    "default": (SampleSettings(), None),
    **KINDS,
    "auto1111": (SampleSettings(Drawn(seed_gen="auto1111")), None),
    "FreeNoise/view": (SampleSettings(Drawn("FreeNoise")), VIEWED),
    "FreeNoise/none": (SampleSettings(Drawn("FreeNoise")), None),
    "override": (SampleSettings(Drawn(seed_override=9)), None),
    "override/offset": (SampleSettings(Drawn(seed_offset=1, seed_override=9)), None),
    "layers": (SampleSettings(Drawn(seed_gen="auto1111"), layers()), None),
}


def own() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", CASES)
def test_noise_is_the_packs(name: str) -> None:
    settings, context = CASES[name]
    noise = settled_noise(settings, own(), 5, context, CPU)
    expected = torch.tensor(RECORDED[name]).reshape(SHAPE)
    torch.testing.assert_close(noise, expected, rtol=1e-5, atol=2e-6)


def test_all_recorded_noise_is_compared() -> None:
    assert CASES.keys() == RECORDED.keys()


def test_an_offset_without_end_is_refused() -> None:
    with pytest.raises(BatchOffsetError, match="at most 4096, got 5000"):
        settled_noise(SampleSettings(Drawn(batch_offset=5000)), own(), 5, None, CPU)
