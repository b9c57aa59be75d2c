"""The workflows of `examples/`, posted to the running application as a user posts them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo.client import Service, decoded
from demo.drawing import SIDE, Picture
from demo.judge import Seen, judge
from demo.measures import darkness
from demo.scenes import Background
from demo.workflows import HOLE, WORKFLOWS
from tests.demo_files import place_demo_files

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ROOT / "examples" / "input"
SIZES = {"outpaint": (128, 192), "hires_fix": (192, 192), "upscale": (256, 256)}
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def service(server: str, parity_models: Path) -> Iterator[Service]:
    """The running application with the demo model and the pictures that examples load."""
    place_demo_files(parity_models)
    running = Service(server)
    for path in INPUTS.iterdir():
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        running.upload(as_rgb(picture), path.name)
    yield running
    running.close()


def as_rgb(picture: Any) -> Picture:
    """As `demo.client.encoded` takes it, which leaves four channels as they are."""
    rgb: Picture = picture if picture.shape[-1] == 4 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return rgb


@pytest.fixture(scope="module")
def pictures(service: Service) -> dict[str, Picture]:
    """What every file in `examples/` of the demo model draws, all posted at once."""
    names = [f"{name}{kind}" for name in WORKFLOWS for kind in (".json", ".ui.json")]
    documents = [json.loads((ROOT / "examples" / name).read_text()) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(
            zip(names, [drawn[0] for drawn in pool.map(service.draw, documents)], strict=True)
        )


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_example_has_its_size(name: str, pictures: dict[str, Picture]) -> None:
    assert pictures[f"{name}.json"].shape[:2] == SIZES.get(name, (SIDE, SIDE))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_both_formats_draw_the_same(name: str, pictures: dict[str, Picture]) -> None:
    assert np.array_equal(pictures[f"{name}.json"], pictures[f"{name}.ui.json"])


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("text_to_image", Seen(Background("blue"), "red", "circle", 1, "center")),
        ("image_to_image", Seen(Background("purple"), "yellow", "star", 1, "center")),
        ("hires_fix", Seen(Background("purple"), "yellow", "star", 1, "center")),
        ("canny_controlnet", Seen(Background("black"), "pink", "star", 1, "center")),
        ("upscale", Seen(Background("white"), "blue", "triangle", 3, "row")),
    ],
)
def test_an_example_shows_what_it_asks_for(
    name: str, seen: Seen, pictures: dict[str, Picture]
) -> None:
    small = cv2.resize(pictures[f"{name}.json"], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    found = judge(small.astype(np.uint8))
    assert replace(found, background=seen.background) == seen
    assert found.background.color == seen.background.color  # white that fades to white is plain


def test_inpainting_changes_the_hole_alone(pictures: dict[str, Picture]) -> None:
    before = decoded((INPUTS / "demo_scene.png").read_bytes()).astype(int)
    change = np.abs(pictures["inpaint.json"].astype(int) - before)
    assert change[HOLE].mean() > 5
    change[HOLE] = 0
    assert change.max() <= 2


def test_the_style_of_night_is_dark(pictures: dict[str, Picture]) -> None:
    assert darkness(pictures["lora.json"]) > 0.7
    assert darkness(pictures["two_loras.json"]) > 0.6
