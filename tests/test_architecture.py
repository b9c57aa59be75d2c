"""The design's rules that a reader could miss: who may import whom, and what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "graph": set(),
    "imaging": {"graph"},
    "storage": {"graph"},
    "diffusion": {"graph", "imaging"},
    "preprocessors": {"graph", "imaging"},
    "api": {"graph", "imaging", "storage", "diffusion", "preprocessors"},
    "deployments": {"graph", "imaging", "storage", "diffusion", "preprocessors", "api"},
    "demo": {"graph", "storage", "diffusion", "preprocessors", "deployments"},
}
FORBIDDEN = {
    "graph": {"ray", "torch", "numpy", "diffusers", "transformers"},
    "diffusion": {"ray"},
    "preprocessors": {"ray"},
    "imaging": {"ray"},
    "storage": {"ray", "torch"},
    "api": {"ray", "torch", "diffusers", "transformers"},
    "demo": {"ray"},
}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """The top-level packages a module imports, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_our_imports_point_one_way(package: str) -> None:
    others = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    wrong = [
        (name(path), target)
        for path in MODULES
        if path.is_relative_to(ROOT / package)
        for target in imported(path)
        if target in others
    ]
    assert wrong == []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_leaves_alone_what_is_not_its_business(package: str) -> None:
    wrong = [
        (name(path), target)
        for path in MODULES
        if path.is_relative_to(ROOT / package)
        for target in imported(path)
        if target in FORBIDDEN[package]
    ]
    assert wrong == []


def test_the_language_runs_without_ray_torch_and_numpy() -> None:
    modules = [
        name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for path in MODULES
        if path.is_relative_to(ROOT / "graph")
    ]
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules}];"
        "sys.exit(', '.join({'ray', 'torch', 'numpy'} & sys.modules.keys()) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stderr.strip(), ran.returncode) == ("", 0)


def test_only_the_clients_call_other_deployments() -> None:
    calling = {
        name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "remote"
    }
    assert calling <= {"deployments/clients.py"}


def test_every_module_is_still_one_room() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}
