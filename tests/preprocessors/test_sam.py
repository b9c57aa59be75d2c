"""SAM against its authors' code.

tests/contract/sam.npz has the masks of segment-anything 1.0 for a made-up picture, by a network of
two blocks whose weights are made of their names, as here.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deployments.detectors import LoadedDetectors
from graph.segs import SamHints, SamModel, Seg, Segs
from graph.values import ModelFile
from preprocessors.sam import Predictor, build_sam, prompts, sam_mask, sam_masks
from storage.models.annotators import AnnotatorFolder

FILE = ModelFile("sams", "sam_vit_b_tiny.pth")


def made(name: str, shape: tuple[int, ...]) -> Tensor:
    dice = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if "gaussian_matrix" in name:
        return torch.randn(shape, generator=dice)
    if len(shape) > 1:
        spread: float = 1.2 / float(np.prod(shape[1:])) ** 0.5
        return torch.randn(shape, generator=dice) * spread
    if name.endswith("weight"):
        return torch.rand(shape, generator=dice) * 0.4 + 0.8
    return (torch.rand(shape, generator=dice) - 0.5) * 0.4


def recorded() -> dict[str, Any]:
    with np.load(Path(__file__).parents[1] / "contract" / "sam.npz") as found:
        return dict(found)


def test_shapes_are_those_that_the_authors_code_finds(tmp_path: Path) -> None:
    said = recorded()
    shapes = json.loads(str(said["shapes"]))
    path = tmp_path / FILE.name
    torch.save({name: made(name, tuple(shape)).half() for name, shape in shapes.items()}, path)
    detectors = LoadedDetectors(
        AnnotatorFolder.of(tmp_path),
        device=torch.device("cpu"),
        budget_bytes=2**30,
        models=lambda _: path,
    )
    picture = said["picture"]
    masks = [np.unpackbits(said[f"masks{k}"], axis=-1, count=84) for k in range(5)]
    with detectors.opened(FILE, build_sam) as network, torch.inference_mode():
        predictor = Predictor(network, picture)
        for k, wanted in enumerate(masks):
            points, labels, box = json.loads(str(said[f"told{k}"]))
            found = predictor.shapes(points, labels, box, threshold=-9)
            assert (np.stack([np.asarray(mask) for mask in found]) != wanted).mean() < 1e-3
            assert len(predictor.shapes(points, labels, box, threshold=9)) == 1
    parts = [
        Seg(torch.ones(30, 40), 1.0, (x, 15, x + 40, 45), (x, 15, x + 40, 45), "face")
        for x in (0, 20)
    ]
    image = torch.from_numpy(picture)[None].float() / 255
    how, segs = SamHints(threshold=-9), Segs((60, 84), tuple(parts))
    whole, each = sam_masks(detectors, SamModel(FILE), segs, image, how)
    assert each.shape == (2, 60, 84)  # three shapes of each part are one
    assert torch.equal(each.amax(dim=0), whole[0])
    assert torch.equal(whole, sam_mask(detectors, SamModel(FILE), segs, image, how))


@pytest.mark.parametrize(
    ("hint", "negative", "inside", "outside"),
    [
        ("center-1", "False", [(40.0, 30.0)], 0),
        ("none", "False", [], 0),
        ("vertical-2", "False", [(40.0, 5 + 50 / 3), (40.0, 5 + 100 / 3)], 0),
        ("center-1", "Outter", [(40.0, 30.0)], 60),
    ],
)
def test_hints_are_those_that_are_asked_for(
    hint: str, negative: str, inside: list[tuple[float, float]], outside: int
) -> None:
    part = Seg(torch.ones(30, 40), 1.0, (20, 15, 60, 45), (20, 15, 60, 45), "face")
    hints = SamHints(hint, bbox_expansion=10, mask_hint_use_negative=negative)
    ((points, labels, box),) = prompts(Segs((60, 84), (part,)), (60, 84), hints)
    assert box == (10, 5, 70, 55)
    assert [p for p, label in zip(points, labels, strict=True) if label] == inside
    assert labels.count(0) == outside
