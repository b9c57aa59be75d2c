"""The hosted API's npm package, with its host redirected, against the real service."""

import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

HERE = Path(__file__).parent / "js"
INPUT = Path(__file__).resolve().parents[1] / "parity" / "input"
SIZES = {
    "textToImage": (64, 64),
    "imageToImage": (64, 64),
    "inpainting": (64, 64),
    "controlnet": (64, 64),
    "outpainting": (128, 128),
    "editedInpainting": (64, 64),
    "realtimeTextToImage": (64, 64),
    "realtimeImageToImage": (64, 64),
    "realtimeInpainting": (64, 64),
    "fetch": (64, 64),
}
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        not (HERE / "node_modules" / "modelslab").is_dir() or shutil.which("node") is None,
        reason="`make npm-client` installs the package, where the registry has it",
    ),
]


@pytest.fixture(scope="module")
def results(server: str) -> dict[str, Any]:
    """What each of the package's methods gave."""
    command = ["node", "--import", "./redirect.mjs", "calls.mjs"]
    pictures = [str(INPUT / name) for name in ("scene.png", "scene_mask.png")]
    ran = subprocess.run(
        [*command, *pictures],
        cwd=HERE,
        env={**os.environ, "SERVER": server},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_every_call_gives_its_pictures(results: dict[str, Any]) -> None:
    with Image.open(INPUT / "scene.png") as scene:
        sizes = SIZES | {"superResolution": (scene.width * 4, scene.height * 4)}
    for call, size in sizes.items():
        assert results[call]["status"] == "success", (call, results[call])
        content = httpx.get(results[call]["output"][0]).raise_for_status().content
        assert Image.open(io.BytesIO(content)).size == size


def test_a_refused_call_throws_what_the_service_says(results: dict[str, Any]) -> None:
    refused = results["refused"]
    assert "width" in refused["wrong"]
    assert "/api/v6/image_editing/head_shot" in refused["notServed"]
