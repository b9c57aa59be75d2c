"""Every package says in one sentence what is in it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "api", "benchmarks", "demo", "deployments", "diffusion", "graph", "imaging", "media", "packs",
    "preprocessors", "storage",
)  # fmt: skip
PACKAGES = sorted(
    path.relative_to(ROOT) for name in NAMES for path in (ROOT / name).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_has_a_docstring(package: Path) -> None:
    said = ast.get_docstring(ast.parse((ROOT / package).read_text()))
    assert said
    assert said.splitlines()[0].endswith(".")
