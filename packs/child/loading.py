"""Imports a pack as ComfyUI does, and finds its node classes."""

import asyncio
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any


class PackNotLoadedError(Exception):
    """A pack that cannot be imported; it says why."""


@dataclass
class LoadedPack:
    """A pack's node classes, by the names that workflows use."""

    classes: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    web: str = ""


async def load_pack(folder: Path) -> LoadedPack:
    """Import a pack, a folder or one file.

    Raises:
        PackNotLoadedError: it raises at import, or has no nodes.
    """
    try:
        _compile_always(folder)
        module = _imported(folder)
        return await _nodes_of(module, folder)
    except PackNotLoadedError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        said = f"{type(error).__name__}: {error} ({where})"
        traceback.print_exc()
        raise PackNotLoadedError(said) from error


def _compile_always(folder: Path) -> None:
    """Read no bytecode of a pack: its hash is that of its sources alone."""
    bootstrap: Any = importlib.import_module("importlib._bootstrap_external")
    usual = bootstrap.cache_from_source

    def cached(path: str, *args: Any, **named: Any) -> Any:
        if Path(path).is_relative_to(folder):
            raise NotImplementedError
        return usual(path, *args, **named)

    bootstrap.cache_from_source = cached


def _imported(folder: Path) -> ModuleType:
    file = folder / "__init__.py" if folder.is_dir() else folder
    if not file.is_file():
        raise PackNotLoadedError("it has no __init__.py")
    name = str(folder if folder.is_dir() else folder.with_suffix("")).replace(".", "_x_")
    places = [str(folder)] if folder.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise PackNotLoadedError("it is no Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


async def _nodes_of(module: ModuleType, folder: Path) -> LoadedPack:
    pack = LoadedPack(web=str(getattr(module, "WEB_DIRECTORY", "") or ""))
    classes = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if isinstance(classes, Mapping):
        pack.classes |= {str(name): one for name, one in classes.items()}
        titles = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
        pack.titles |= {str(name): str(title) for name, title in dict(titles).items()}
    if callable(entry := getattr(module, "comfy_entrypoint", None)):
        extension = entry()
        extension = await extension if inspect.isawaitable(extension) else extension
        loaded = extension.on_load()
        if inspect.isawaitable(loaded):
            await loaded
        nodes = extension.get_node_list()
        for node in await nodes if inspect.isawaitable(nodes) else nodes:
            schema = node.GET_SCHEMA()
            pack.classes[schema.node_id] = node
            if schema.display_name:
                pack.titles[schema.node_id] = schema.display_name
    if not pack.classes and not (classes is not None or callable(entry)):
        raise PackNotLoadedError(
            f"{folder.name} has neither NODE_CLASS_MAPPINGS nor an entry point"
        )
    await asyncio.sleep(0)
    return pack
