"""benchmarks/gpu.sh, as far as a machine without a GPU can run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import PARTS

ROOT = Path(__file__).resolve().parents[1]
# Levels of 255 in the mean, from the same network's pictures in float32; as seen, 0.6 and 3.
MOST_APART = {"float16": 1.0, "bfloat16": 5.0}
pytestmark = pytest.mark.gpu_script


def test_every_part_runs_to_its_end_with_small_networks(tmp_path: Path) -> None:
    command = ["sh", "benchmarks/gpu.sh", "--tiny", "--device", "cpu", "--seconds", "1800"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=2000,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found) == list(PARTS)
    apart = found["pictures"]["rows"]
    for name, most in MOST_APART.items():
        means = [row[f"{name}_mean"] for row in apart.values()]
        assert all(0 < mean < most for mean in means), (name, means)
    assert "| sdxl, 30 steps |" in (tmp_path / "gpu.md").read_text()
