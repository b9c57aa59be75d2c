"""extra_model_paths.yaml: more folders with model files, in ComfyUI's format.

Each section has `base_path` (relative to the file), `is_default`, and for each kind of model one
folder or several, one a line (ComfyUI utils/extra_config.py, load_extra_path_config).
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

SAME_KIND: Mapping[str, str] = MappingProxyType(
    {"clip": "text_encoders", "unet": "diffusion_models"}
)
OTHER_KEYS = frozenset({"base_path", "is_default", "custom_nodes", "download_model_base"})
Folders = Mapping[str, tuple[Path, ...]]


class ExtraPathsError(ValueError):
    """Why the file is not read, in one line."""


@dataclass(frozen=True)
class ExtraFolders:
    """Folders by kind of model: those searched before the models folder, and those after."""

    before: Folders = field(default_factory=dict)
    after: Folders = field(default_factory=dict)


def read_extra_paths(files: str) -> ExtraFolders:
    """The folders of several files, separated by commas; "" is none.

    Raises:
        ExtraPathsError: a file is missing or is not in this format.
    """
    before: dict[str, tuple[Path, ...]] = {}
    after: dict[str, tuple[Path, ...]] = {}
    for name in filter(None, (name.strip() for name in files.split(","))):
        for kind, folder, is_default in _entries(Path(name).expanduser()):
            others = [path for path in before.get(kind, ()) if path != folder]
            if is_default:  # the last default one is searched first
                before[kind] = (folder, *others)
                after[kind] = tuple(path for path in after.get(kind, ()) if path != folder)
            elif folder not in (*others, *before.get(kind, ()), *after.get(kind, ())):
                after[kind] = (*after.get(kind, ()), folder)
    return ExtraFolders(before, after)


def _entries(file: Path) -> Iterator[tuple[str, Path, bool]]:
    """Each folder of a file: its kind, where it is, and whether its section is the default."""
    for section, values in _sections(file):
        base = values.get("base_path")
        if base is not None and not isinstance(base, str):
            raise _wrong(file, f": {section}.base_path must be text, got {base!r}")
        root = file.parent.resolve() / _expanded(base or "")
        for kind, folders in values.items():
            if kind in OTHER_KEYS:
                continue
            for folder in _lines(file, f"{section}.{kind}", folders):
                path = Path(os.path.normpath(root / folder))
                yield SAME_KIND.get(kind, kind), path, bool(values.get("is_default", False))


def _sections(file: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(file, f": {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise _wrong(file, f" is not YAML: {reason}") from error
    if document is None:
        return []
    if not isinstance(document, Mapping):
        raise _wrong(file, f": expected sections, got {type(document).__name__}")
    sections = [(str(name), values) for name, values in document.items() if values is not None]
    for name, values in sections:
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            raise _wrong(file, f": section {name!r} must map kinds of models to folders")
    return sections


def _wrong(file: Path, reason: str) -> ExtraPathsError:
    return ExtraPathsError(f"{file}{reason}")


def _lines(file: Path, where: str, folders: object) -> Iterator[str]:
    if folders is None:
        return
    if not isinstance(folders, str):
        raise _wrong(file, f": {where} must be text, one folder a line, got {folders!r}")
    yield from filter(None, (line.strip() for line in folders.split("\n")))


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - before variables
