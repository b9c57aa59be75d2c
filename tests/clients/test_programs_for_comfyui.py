"""Programs written for ComfyUI, unchanged, over the application: `make test-clients`.

They are installed into build/clients, apart from the locked packages: some are under the GPL-3.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.one_process import running

pytestmark = pytest.mark.clients
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "clients"
EXAMPLE = ROOT / "examples" / "text_to_image"
SIZE = (128, 128)

SIMPLIFIED = """
import io, json, sys
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from PIL import Image

workflow = ComfyWorkflowWrapper(sys.argv[2])
workflow.set_node_param("KSampler", "seed", 21)
found = ComfyApiWrapper(sys.argv[1]).queue_and_wait_images(workflow, "SaveImage")
print(json.dumps([Image.open(io.BytesIO(content)).size for content in found.values()]))
"""
SCRIPT = """
import json, sys
from comfy_script.runtime import load
load(sys.argv[1])
from comfy_script.runtime import Workflow
from comfy_script.runtime.nodes import *

with Workflow(wait=True):
    model, clip, vae = CheckpointLoaderSimple("comfyray-demo.safetensors")
    positive, negative = CLIPTextEncode("a red circle", clip), CLIPTextEncode("", clip)
    latent = EmptyLatentImage(128, 128, 1)
    latent = KSampler(model, 22, 3, 5, "euler", "karras", positive, negative, latent)
    image = SaveImage(VAEDecode(latent, vae), "script")
print(json.dumps([picture.size for picture in image.wait()]))
"""


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of their commands."""
    subprocess.run(["sh", ROOT / "cluster" / "install_clients.sh", FOLDER], cwd=ROOT, check=True)
    return FOLDER / "bin"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application's address."""
    settings = {
        "COMFYRAY_AUTH": "off",
        "COMFYRAY_DATA_DIR": str(tmp_path_factory.mktemp("clients") / "data"),
        "COMFYRAY_MODELS_DIR": str(ROOT / "models"),
    }
    with running(settings) as url:
        yield url


def run(*command: object, home: Path, ends: int = 0) -> Any:
    """What a program prints in its last line, as JSON."""
    environment = os.environ | {"HOME": str(home), "DO_NOT_TRACK": "1"}
    words = [str(word) for word in command]
    ended = subprocess.run(words, check=False, env=environment, capture_output=True, timeout=300)
    assert ended.returncode == ends, ended.stderr.decode() + ended.stdout.decode()
    return json.loads(ended.stdout.splitlines()[-1])


def comfy(programs: Path, base: str, workflow: Path, home: Path, ends: int = 0) -> Any:
    """What `comfy run` says of a workflow."""
    place = ("--host", "127.0.0.1", "--port", base.rpartition(":")[2], "--timeout", "120")
    command = (programs / "comfy", "--skip-prompt", "--json", "run", "--wait")
    return run(*command, "--workflow", workflow, *place, home=home, ends=ends)


@pytest.mark.parametrize("ending", [".json", ".ui.json"])
def test_comfy_cli_runs_a_workflow(programs: Path, base: str, tmp_path: Path, ending: str) -> None:
    told = comfy(programs, base, Path(f"{EXAMPLE}{ending}"), tmp_path)
    assert told["ok"]
    assert told["data"]["status"] == "completed"
    (url,) = told["data"]["outputs"]
    assert url.startswith(f"{base}/view?filename=demo_text_0000")


def test_comfy_cli_is_told_what_is_wrong(programs: Path, base: str, tmp_path: Path) -> None:
    workflow = json.loads(Path(f"{EXAMPLE}.json").read_text())
    workflow["5"]["inputs"]["steps"] = 0
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(workflow))
    told = comfy(programs, base, wrong, tmp_path, ends=1)
    (problem,) = told["error"]["details"]["errors"]
    assert (problem["code"], problem["hint"]) == ("below_min", "use a value >= 1")


def test_comfy_api_simplified_gets_the_picture_and_no_previews(
    programs: Path, base: str, tmp_path: Path
) -> None:
    workflow = json.loads(Path(f"{EXAMPLE}.json").read_text())
    for node in workflow.values():  # it wants a title of every node, as the editor exports them
        node["_meta"] = {"title": node["class_type"]}
    file = tmp_path / "titled.json"
    file.write_text(json.dumps(workflow))
    found = run(programs / "python", "-c", SIMPLIFIED, base, file, home=tmp_path)
    assert found == [list(SIZE)]


def test_comfy_script_runs_a_program(programs: Path, base: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"  # it saves its source in the picture
    file.write_text(SCRIPT)
    assert run(programs / "python", file, f"{base}/", home=tmp_path) == [list(SIZE)]
