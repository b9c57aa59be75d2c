"""Generates docs/settings.md from the typed settings."""

import json
import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deployments.config import AppConfig
from deployments.settings import Settings

HEAD = """\
# Settings

Environment variables say where things are; serve_config.yaml says what is served and how large.
This page is generated: `.venv/bin/python -m deployments.settings_reference > docs/settings.md`.

`make run` reads two more variables: `PORT` (8000), and `COMFYRAY_AUTH`, which it sets to `off`.

## Environment

| variable | type | default | meaning |
| --- | --- | --- | --- |
"""
CONFIG = """\

## serve_config.yaml

The names below are those of `applications[0].args`. Unknown names are refused.
"""
TABLE = "| name | type | default | meaning |\n| --- | --- | --- | --- |\n"


def reference() -> str:
    """The whole page."""
    variables = "".join(
        _row(f"COMFYRAY_{name.upper()}", field) for name, field in Settings.model_fields.items()
    )
    return HEAD + variables + CONFIG + "".join(_sections("", AppConfig))


def _sections(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """A table for the model, and then one for each section in it."""
    plain: list[tuple[str, FieldInfo]] = []
    parts: list[tuple[str, FieldInfo]] = []
    for name, field in model.model_fields.items():
        (parts if _part(field) else plain).append((name, field))
    if plain:
        about = " ".join((model.__doc__ or "").split("\n\n")[0].split())
        yield f"\n### `{prefix or 'args'}`\n\n{about}\n\n{TABLE}"
        yield from (_row(name, field) for name, field in plain)
    for name, field in parts:
        part = _part(field)
        assert part
        yield from _sections(f"{prefix}.{name}" if prefix else name, part)


def _part(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "" if default is None else f"`{_text(default)}`"
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation)} | {shown} | {meaning} |\n"


def _text(default: Any) -> str:
    if isinstance(default, str | int | float | bool | list | tuple | dict):
        return json.dumps(default)
    return str(default)


def _type(kind: Any) -> str:
    """A type in the words of YAML."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    arguments = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) in {tuple, list}:
        return "list"
    if get_origin(kind) is dict:
        return "mapping"
    if arguments:
        return _type(arguments[0])
    names = {"str": "text", "int": "integer", "float": "number", "bool": "boolean"}
    return names.get(kind.__name__, {"SecretStr": "secret"}.get(kind.__name__, "path"))


if __name__ == "__main__":
    sys.stdout.write(reference())
