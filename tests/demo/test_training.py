"""The demo model's training, from nothing to its files, in two steps a stage."""

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]


def contents(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, "pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


@pytest.mark.training
def test_every_stage_runs_and_writes_what_is_shipped(tmp_path: Path) -> None:
    models = tmp_path / "models"
    command = [sys.executable, "-W", "ignore", "-m", "demo.training", "--tiny", str(tmp_path)]
    subprocess.run([*command, "--models", str(models)], cwd=ROOT, check=True)
    shipped = {path.relative_to(ROOT / "models") for path in (ROOT / "models").rglob("*demo*.s*")}
    assert {path.relative_to(models) for path in models.rglob("*.safetensors")} == shipped
    for name in shipped:
        assert contents(models / name) == contents(ROOT / "models" / name)
