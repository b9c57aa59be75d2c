"""Finding the modules of a package, so that a new file needs no list to be added to."""

import importlib
import pkgutil
from types import ModuleType


def modules_of(*packages: str) -> list[ModuleType]:
    """All modules of `packages`, imported."""
    return [
        importlib.import_module(f"{package}.{module.name}")
        for package in packages
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    ]
