"""Lets a pack import ComfyUI's modules: ours under their names, and placeholders for the rest."""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from packs.surface.placeholders import PlaceholderModule

SURFACE = "packs.surface"
FOLDER = Path(__file__).resolve().parent.parent / "surface"
ROOTS = frozenset(
    {
        "comfy", "comfy_api", "comfy_api_nodes", "comfy_config", "comfy_execution", "comfy_extras",
        "comfyui_version", "execution", "folder_paths", "latent_preview", "node_helpers", "nodes",
        "protocol", "server", "app", "api_server", "comfy_aimdo", "comfy_kitchen",
    }
)  # fmt: skip


def install() -> None:
    """Let imports find the surface, before anything of those names that may be installed."""
    sys.meta_path.insert(0, SurfaceFinder())


class SurfaceFinder(importlib.abc.MetaPathFinder):
    """Finds what ComfyUI would have."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if name.partition(".")[0] not in ROOTS and name not in ROOTS:
            return None
        loader = SurfaceLoader(f"{SURFACE}.{name}" if is_ours(name) else "")
        return importlib.machinery.ModuleSpec(name, loader, is_package=True)


class SurfaceLoader(importlib.abc.Loader):
    """Gives a module of the surface, or a placeholder."""

    def __init__(self, ours: str) -> None:
        self._ours = ours

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        if not self._ours:
            return PlaceholderModule(spec.name)
        module = importlib.import_module(self._ours)
        fallback(module, spec.name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already, under its own name."""


def fallback(module: ModuleType, name: str) -> None:
    """Let a module of ours give placeholders for what it does not have."""
    placeholder = PlaceholderModule(name)

    def found(attribute: str) -> Any:
        if is_ours(f"{name}.{attribute}"):  # `from comfy import utils`, before it was imported
            return importlib.import_module(f"{name}.{attribute}")
        return placeholder.__getattr__(attribute)

    vars(module).setdefault("__getattr__", found)


def is_ours(name: str) -> bool:
    """Whether the surface has a module."""
    file = FOLDER.joinpath(*name.split("."))
    return file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()
