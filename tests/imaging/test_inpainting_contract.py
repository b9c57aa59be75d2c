"""Masks and pictures for inpainting, held to comfyui-inpaint-nodes' numbers.

tests/contract/inpainting.npz has pictures, masks, and what the pack's nodes gave for them under
ComfyUI 0.33.0 (torch and kornia 0.9 on a CPU): `cases` lists nodes and inputs, and output k of case
n is `n_k`.
"""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from deployments.image_functions import NodeImaging
from diffusion.autoencoder.inpaint import fit_mask, grey_out
from graph.errors import ServiceError
from graph.nodes import load_node_types
from graph.nodes.packs.inpaint_nodes import encode_and_condition
from graph.values import ModelFile, Vae
from imaging.inpainting import with_opacity
from tests.preprocessors.annotator_files import detectors

FILE = Path(__file__).parents[1] / "contract" / "inpainting.npz"
EXACT = 1e-6
ENCODE = "VAEEncodeInpaintConditioning"  # recorded with an autoencoder that takes means
with np.load(FILE) as _file:
    RECORDED = {name: _file[name] for name in _file}
STAGE = NodeImaging(detectors(Path("nowhere")))
CASES = json.loads(str(RECORDED["cases"]))


def run(node: str, inputs: dict[str, Any]) -> tuple[Any, ...]:
    """What our node gives; a text `mask:soft` is a recorded one."""
    given = {name: _value(value) for name, value in inputs.items()}
    result = load_node_types()[f"INPAINT_{node}"].function(STAGE, **given)
    return result if isinstance(result, tuple) else (result,)


def _value(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        return torch.from_numpy(RECORDED[value.replace(":", "_")])
    return value


@pytest.mark.parametrize("node", sorted({node for node, _ in CASES} - {ENCODE}))
def test_nodes_give_what_the_packs_give(node: str) -> None:
    numbers = [n for n, case in enumerate(CASES) if case[0] == node]
    assert len(numbers) >= 5
    for n in numbers:
        for k, ours in enumerate(run(node, CASES[n][1])):
            theirs = RECORDED[f"{n}_{k}"]
            assert np.shape(ours) == theirs.shape
            assert float(np.abs(np.asarray(ours, np.float64) - theirs).max()) <= EXACT, CASES[n]


class AveragingStage:
    """The sample stage's functions, with an autoencoder that takes means of 8 by 8 pixels."""

    fit_mask = staticmethod(fit_mask)
    grey_out = staticmethod(grey_out)

    async def encode(self, _: Vae, pixels: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(pixels[..., :3].movedim(-1, 1), 8)

    def with_extras(self, _: Any, **extras: Any) -> dict[str, Any]:
        return extras


async def test_conditionings_and_latents_are_those_of_the_pack() -> None:
    cases = [(n, inputs) for n, (node, inputs) in enumerate(CASES) if node == ENCODE]
    assert len(cases) >= 5
    for n, inputs in cases:
        given = {name: _value(value) for name, value in inputs.items()}
        positive, negative, inpaint, samples = await encode_and_condition(
            AveragingStage(),  # type: ignore[arg-type]
            positive=(),
            negative=(),
            vae=Vae(ModelFile("vae", "x")),
            **given,
        )
        ours = (
            *(cast(Any, positive)["concat_latent_image"], cast(Any, positive)["concat_mask"]),
            *(cast(Any, negative)["concat_mask"], inpaint.samples, inpaint.noise_mask),
            *(samples.samples, samples.noise_mask),
        )
        for k, one in enumerate(ours):
            torch.testing.assert_close(one, torch.from_numpy(RECORDED[f"{n}_{k}"]))


def test_a_mask_becomes_opacity() -> None:
    masks, pictures = (torch.from_numpy(RECORDED[one]) for one in ("mask_two", "image_pair"))
    assert torch.equal(with_opacity(pictures, masks), torch.cat([pictures, masks[..., None]], -1))
    shown = with_opacity(torch.cat([pictures, pictures[..., :1]], -1), masks[0])
    assert torch.equal(shown[..., 3], masks[:1].expand(2, -1, -1))


@pytest.mark.parametrize(
    ("node", "inputs", "said"),
    [
        ("DenoiseToCompositingMask", {"offset": 0.3, "threshold": 0.3}, "offset"),
        ("MaskBoundingBox", {"mask": torch.zeros(1, 4, 4)}, "empty"),
        ("MaskedFill", {"image": "image:pair", "fill": "neutral", "falloff": 0}, "as many masks"),
        ("MaskedFill", {"image": "image:small", "fill": "neutral", "falloff": 0}, "30 x 24"),
        ("MaskedBlur", {"image": "image:one", "blur": 99, "falloff": 0}, "radius of 49"),
        ("ExpandMask", {"grow": 0, "blur": 99, "blur_type": "box"}, "radius of 49"),
        (
            "ColorMatch",
            {"target": "image:one", "reference": "image:pair", "strength": 1.0},
            "as many",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_plain_words(
    node: str, inputs: dict[str, Any], said: str
) -> None:
    mask = {"exclude_mask" if node == "ColorMatch" else "mask": "mask:hard"}
    with pytest.raises(ServiceError, match=said) as refused:
        run(node, mask | inputs)
    assert refused.value.status == 422
