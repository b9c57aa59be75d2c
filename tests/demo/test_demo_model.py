"""The model that comes along, through the served stages: what its pictures show.

tests/deployments/test_examples_served.py has what the examples draw.
"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.client import Drawing
from demo.evaluate import drawn_by, scores, text_to_image
from demo.in_process import in_process
from demo.measures import darkness, edge_agreement, edges, strokes
from demo.scenes import Background, Scene
from demo.workflows import STAR, WORKFLOWS, Workflow, inputs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service() -> Iterator[Drawing]:
    """The served stages over the models of the repository, with the examples' pictures."""
    with in_process(ROOT / "models") as running:
        for name, picture in inputs().items():
            running.upload(picture, name)
        yield running


def together(service: Drawing, workflows: list[Workflow]) -> list[Any]:
    with ThreadPoolExecutor(8) as pool:
        return [pictures[0] for pictures in pool.map(service.draw, workflows)]


def test_a_picture_waits_for_no_large_import() -> None:
    """diffusers' and transformers' models take ten seconds to import, each replica's first ones."""
    program = (
        "import sys; from pathlib import Path;"
        "from demo.evaluate import text_to_image; from demo.in_process import in_process\n"
        f"with in_process(Path({str(ROOT / 'models')!r})) as running:\n"
        "    running.draw(text_to_image('a red circle', 1, steps=1))\n"
        "sys.exit(', '.join({'diffusers', 'transformers'} & sys.modules.keys()) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()


def test_pictures_show_what_captions_ask_for(service: Drawing) -> None:
    scenes = [
        Scene("square", "green", Background("yellow"), place="left", size="large"),
        Scene("star", "yellow", Background("purple"), size="large"),
        Scene("triangle", "blue", Background("white"), place="top"),
        Scene("ring", "red", Background("white"), place="right", size="large"),
        Scene("cross", "white", Background("black")),
        Scene("circle", "purple", Background("cyan"), count=2, place="row"),
        Scene("square", "red", Background("white"), count=3, place="column"),
        Scene("circle", "orange", Background("blue"), place="bottom"),
    ]
    found = scores(scenes, drawn_by(service, scenes))
    assert found["color"] >= 7 / 8
    assert found["shape"] >= 6 / 8
    assert found["background"] >= 6 / 8
    assert found["count"] >= 6 / 8
    assert found["place"] >= 6 / 8


def test_a_controlnet_makes_edges_agree(service: Drawing) -> None:
    given = edges(inputs()[STAR])
    controlled = WORKFLOWS["canny_controlnet"]()
    seeds = (1, 2, 3, 4)
    prompt = str(controlled["2"]["inputs"]["text"])
    free = [text_to_image(prompt, seed) for seed in seeds]
    bound = [
        {**controlled, "9": {**controlled["9"], "inputs": controlled["9"]["inputs"] | {"seed": s}}}
        for s in seeds
    ]
    f1 = [edge_agreement(edges(p), given) for p in together(service, [*bound, *free])]
    assert np.mean(f1[:4]) >= 2 * np.mean(f1[4:])


@pytest.mark.parametrize(("style", "statistic"), [("night", darkness), ("crayon", strokes)])
def test_a_lora_changes_the_style_by_its_strength(
    service: Drawing, style: str, statistic: Any
) -> None:
    workflow = WORKFLOWS["lora"]()
    changes = [
        {"lora_name": f"comfyray-demo-{style}.safetensors", "strength_model": strength}
        for strength in (0.0, 0.5, 1.0)
    ]
    pictures = together(
        service,
        [
            {**workflow, "4": {**workflow["4"], "inputs": workflow["4"]["inputs"] | change}}
            for change in changes
        ],
    )
    values = [statistic(picture) for picture in pictures]
    assert values[0] < values[1] < values[2]
