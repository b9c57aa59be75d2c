"""The pictures in docs/preprocessors are what the nodes draw today."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deployments.image_functions import NodeImaging
from graph.node import declared_in
from graph.nodes import preprocessors
from graph.nodes.any_preprocessor import BY_NAME
from tests.preprocessors.annotator_files import detectors

PICTURES = Path(__file__).parents[2] / "docs" / "preprocessors"
# Drawn of a larger scene, or of a mask beside it.
OTHERWISE = {"scene", "InpaintPreprocessor", "TilePreprocessor", "TTPlanet_TileSimple_Preprocessor"}
NAMES = sorted({path.stem for path in PICTURES.glob("*.png")} - OTHERWISE)


def loaded(name: str) -> torch.Tensor:
    pixels = np.asarray(Image.open(PICTURES / f"{name}.png").convert("RGB"))
    return torch.from_numpy(pixels.astype(np.float32) / 255)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_what_the_node_draws(name: str) -> None:
    hints = NodeImaging(detectors(Path("nowhere")))
    found = BY_NAME[name].function(hints, image=loaded("scene")[None], resolution=256)[0]
    shown = loaded(name)
    assert found.shape == shown.shape
    # OpenCV rounds differently from processor to processor.
    assert float((found - shown).abs().mean()) < 0.01


def test_every_node_without_weights_has_its_picture() -> None:
    pictures = {path.stem for path in PICTURES.glob("*.png")}
    assert pictures == {*declared_in(preprocessors), "scene"}
