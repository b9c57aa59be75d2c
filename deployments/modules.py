"""Finding the modules of a package, so that a new file needs no list to be added to."""

import importlib
import pkgutil
from types import ModuleType


def modules_of(*packages: str) -> list[ModuleType]:
    """All modules of `packages` and of what lies in these, imported."""
    return [
        importlib.import_module(module.name)
        for package in packages
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        )
    ]
