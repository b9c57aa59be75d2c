"""ComfyUI's own tests of its executor, over the application: `make test-packs`.

They use a pack of theirs, which runs in a host. They are ComfyUI's, under the GPL-3, and not here:
build/ComfyUI is a checkout of version 0.3.64, or a link to one.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from packs.tree_hash import tree_hash
from tests.ports import free_port

pytestmark = pytest.mark.packs
ROOT = Path(__file__).resolve().parents[2]
COMFYUI = ROOT / "build" / "ComfyUI"
TESTS = COMFYUI / "tests" / "execution"
PACK = "testing-pack"
CASES = 185
NEEDED = "websocket-client==1.9.0"  # of the tests


def config(folder: Path) -> Path:
    """serve_config.yaml, with the tests' pack allowed."""
    said = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    allowed = {PACK: {"hash": tree_hash(folder / "packs" / PACK)}}
    said["applications"][0]["args"]["packs"]["allow"] = allowed
    file = folder / "serve_config.yaml"
    file.write_text(yaml.safe_dump(said))
    return file


def server_command(folder: Path, *, ray: bool) -> str:
    """Starts the application, with data of its own each time."""
    settings = {
        "COMFYRAY_AUTH": "off",
        "COMFYRAY_MODELS_DIR": folder / "models",
        "COMFYRAY_PACKS_DIR": folder / "packs",
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    module = "deployments.launch" if ray else "tests.one_process"
    said = shlex.join(["env", *words, sys.executable, "-m", module])
    if ray:
        said += f" --end-with-parent --config {shlex.quote(str(config(folder)))} --port"
    data = f"COMFYRAY_DATA_DIR=$(mktemp -d -p {shlex.quote(str(folder))})"
    return f"cd {shlex.quote(str(ROOT))} && {data} exec {said} {{port}}"


@pytest.mark.parametrize("ray", [False, True], ids=["in_one_process", "on_ray"])
def test_every_test_of_comfyuis_executor_passes(tmp_path: Path, ray: bool) -> None:
    assert TESTS.is_dir(), "build/ComfyUI is no checkout of ComfyUI 0.3.64"
    shutil.copytree(TESTS / "testing_nodes" / PACK, tmp_path / "packs" / PACK)
    (tmp_path / "models").mkdir()
    modules = ROOT / "build" / "executor_tests"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", modules, NEEDED],
        check=True,
    )
    paths = os.pathsep.join(map(str, (modules, ROOT / "tests" / "packs")))
    command = [
        sys.executable, "-m", "pytest", "-p", "comfyui_server", "-p", "no:cacheprovider", "-q",
        "tests/execution", "--skip-timing-checks", "--port", str(free_port()),
        "--output_dir", str(tmp_path / "output"),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "SERVER_COMMAND": server_command(tmp_path, ray=ray),
    }
    log = ROOT / "build" / f"executor_tests{'_on_ray' if ray else ''}.log"
    with log.open("w") as output:
        ended = subprocess.run(
            command, cwd=COMFYUI, env=environment, stdout=output, stderr=output, check=False
        )
    said = log.read_text()
    assert re.search(rf"\b{CASES} passed", said), said[-20_000:]
    assert ended.returncode == 0
