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
    "media": {"graph"},
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
    "media": {"ray", "torch"},
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
    assert came_along(modules, {"ray", "torch", "numpy"}) == ""


def came_along(modules: list[str], others: set[str]) -> str:
    """Those of `others` that a fresh process has when it has imported the modules."""
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules}];"
        f"print(*sorted({others} & sys.modules.keys()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("deployments.router", {"torch", "scipy", "cv2", "boto3", "redis", "alembic"}),
        ("deployments.local_stages", {"torch", "sqlalchemy", "alembic", "httpx", "redis"}),
    ],
)
def test_a_replica_imports_nothing_large_that_it_may_not_need(
    module: str, others: set[str]
) -> None:
    assert came_along([module], others) == ""


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
