"""The design's rules that a reader could miss: who may import whom, and what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from graph.families import BY_NAME

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "graph": set(),
    "imaging": {"graph"},
    "media": {"graph"},
    "packs": {"graph", "imaging"},
    "storage": {"graph"},
    "diffusion": {"graph", "imaging"},
    "preprocessors": {"graph", "imaging"},
    "api": {"graph", "imaging", "media", "packs", "storage", "diffusion", "preprocessors"},
    "deployments": {
        "graph",
        "imaging",
        "media",
        "packs",
        "storage",
        "diffusion",
        "preprocessors",
        "api",
    },
    "demo": {"graph", "storage", "diffusion", "preprocessors", "deployments"},
}
FORBIDDEN = {
    "graph": {"ray", "torch", "numpy", "diffusers", "transformers"},
    "diffusion": {"ray"},
    "preprocessors": {"ray"},
    "imaging": {"ray"},
    "media": {"ray", "torch"},
    "packs": {"ray"},
    "storage": {"ray", "torch"},
    "api": {"ray", "torch", "diffusers", "transformers"},
    "demo": {"ray"},
}
# The folders and files of diffusion/, each importing only from those before it and its own.
FLOORS = (
    "latent_format", "parameterization", "packing", "weights", "device",  # ground
    "networks", "latent", "memory",
    "batch",
    "schedules", "samplers",
    "text", "vision", "autoencoder",
    "dit", "families",
    "guidance",
    "control", "lora", "motion",
    "engine",
    "upscaling", "interpolation",
)  # fmt: skip
FAMILY_FOLDERS = ROOT / "diffusion" / "families"
FAMILY_LISTS = {("graph", "families.py"), ("graph", "unserved_families.py")}
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


def dotted(path: Path) -> str:
    return name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def folder_of(module: str) -> str:
    """The folder or file of diffusion/ that a module lies in."""
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """The modules of diffusion/ that one imports, at its top, later, or for its types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in IN_DIFFUSION else node.module for module in inner}
    return found & IN_DIFFUSION


IN_DIFFUSION = {dotted(path) for path in (ROOT / "diffusion").rglob("*.py")} - {"diffusion"}
DIFFUSION = {
    dotted(path): imports_of(path)
    for path in (ROOT / "diffusion").rglob("*.py")
    if dotted(path) in IN_DIFFUSION
}


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


def test_the_floors_of_diffusion() -> None:
    """A folder imports only from those before it, for types too."""
    floor = {folder: place for place, folder in enumerate(FLOORS)}
    wrong = [
        (module, imported)
        for module, others in DIFFUSION.items()
        for imported in others
        if floor[folder_of(imported)] > floor[folder_of(module)]
    ]
    assert wrong == []


def test_no_module_of_diffusion_imports_itself_through_others() -> None:
    ready: set[str] = set()
    while more := {m for m, others in DIFFUSION.items() if m not in ready and others <= ready}:
        ready |= more
    assert sorted(DIFFUSION.keys() - ready) == []


def test_only_the_families_know_one_family() -> None:
    """Others import the interface and the list, and compare nothing with a family's name."""
    known = {"diffusion.families", "diffusion.families.family", "diffusion.families.registry"}
    importing = [
        (module, imported)
        for module, others in DIFFUSION.items()
        for imported in others
        if folder_of(module) != "families" and folder_of(imported) == "families"
        if imported not in known
    ]
    asking = [
        (name(path), line)
        for path in MODULES
        if not path.is_relative_to(FAMILY_FOLDERS) and path.parts[-2:] not in FAMILY_LISTS
        for line in asked_lines(ast.parse(path.read_text()))
    ]
    assert importing == []
    assert asking == []


@cache
def classes_of_families() -> frozenset[str]:
    return frozenset(
        node.name
        for path in FAMILY_FOLDERS.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and path.name != "family.py"
    )


def asked_lines(tree: ast.Module) -> Iterator[int]:
    """Where something is compared with, looked up by, or tested to be of a family."""
    names, classes = set(BY_NAME), classes_of_families()
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                found = any(constants(part) & names for part in (node.left, *node.comparators))
            case ast.Dict():
                found = any(constants(key) & names for key in node.keys if key is not None)
            case ast.MatchValue():
                found = bool(constants(node.value) & names)
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                used = {part.id for part in ast.walk(kinds) if isinstance(part, ast.Name)}
                found = bool(used & classes)
            case _:
                continue
        if found:
            yield node.lineno if hasattr(node, "lineno") else 0


def constants(node: ast.expr) -> set[str]:
    """The strings in an expression, or in the tuple, list or set that it is."""
    inside = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {
        part.value
        for part in inside
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_every_module_is_still_one_room() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}
