"""Checks before anything is started, so that a wrong setting is one clear line."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from deployments.config import AppConfig
from deployments.settings import Settings
from storage.models.extra_paths import ExtraPathsError, read_extra_paths

OURS = "deployments.app:build"


class StartError(Exception):
    """Why nothing was started, in one line."""


def read_settings() -> Settings:
    """The settings of this installation.

    Raises:
        StartError: a variable is wrong, or names a folder or file that is not there.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise StartError("; ".join(_problems(error, "COMFYRAY_", str.upper))) from error
    if not settings.models_dir.is_dir():
        raise StartError(f"COMFYRAY_MODELS_DIR: there is no folder {settings.models_dir}")
    try:
        read_extra_paths(settings.extra_model_paths)
    except ExtraPathsError as error:
        raise StartError(f"COMFYRAY_EXTRA_MODEL_PATHS: {error}") from error
    return settings


def check_config(file: Path) -> None:
    """Raises: StartError when a Serve config cannot be read, or asks for what there is not."""
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StartError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    applications = config.get("applications") if isinstance(config, Mapping) else None
    if not isinstance(applications, list) or not all(isinstance(it, dict) for it in applications):
        raise StartError(f"{file}: expected a list of applications")
    for entry in applications:
        if "import_path" not in entry or "name" not in entry:
            raise StartError(f"{file}: an application needs a name and an import_path")
        if entry["import_path"] == OURS:
            _check_args(file, entry.get("args") or {})


def _check_args(file: Path, args: Any) -> None:
    try:
        AppConfig.model_validate(args)
    except ValidationError as error:
        raise StartError(f"{file}: {'; '.join(_problems(error, 'args.'))}") from error


def _problems(error: ValidationError, prefix: str, spelt: Any = str) -> Iterator[str]:
    """Each problem with the name of what is wrong, what was expected and what came."""
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        where = prefix + spelt(".".join(path))
        if problem["type"] == "extra_forbidden":
            yield f"{where} is unknown{_suggestion(path)}"
        elif path:
            yield f"{where}: {problem['msg']}, got {problem['input']!r}"
        else:
            yield problem["msg"]


def _suggestion(path: list[str]) -> str:
    section: Any = AppConfig
    for part in path[:-1]:
        field = section.model_fields.get(part) if _is_section(section) else None
        section = field.annotation if field else None
    names = section.model_fields if _is_section(section) else ()
    near = difflib.get_close_matches(path[-1], names, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
