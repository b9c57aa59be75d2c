"""Node types in the format of ComfyUI's /object_info."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from graph.dynamic_inputs import Growing, Option
from graph.node import REQUIRED, Hidden, Input, NodeType

OURS = frozenset({Hidden.ROWS, Hidden.STEP})
SAVED: Mapping[str, Any] = {  # how the editor fetches the names of what was saved
    "image_folder": "output",
    "remote": {
        "route": "/internal/files/output",
        "refresh_button": True,
        "control_after_refresh": "first",
    },
}


class FileLists(Protocol):
    """The names that combos of files offer."""

    def models(self, folder: str) -> list[str]: ...

    def uploads(self, kind: str) -> list[str]: ...


def choices_of(declared: Input, files: FileLists) -> list[Any] | None:
    """What a combo offers now; None for an input that is no combo."""
    if declared.files:
        return [*files.models(declared.files.folder), *declared.files.also]
    if declared.upload and declared.type == "COMBO":
        return list(files.uploads(declared.upload.kind))
    if declared.presets:
        return list(declared.presets.names)
    return None if declared.choices is None else list(declared.choices)


def describe(node_type: NodeType, files: FileLists) -> dict[str, Any]:
    """One entry of /object_info."""
    sections: dict[str, dict[str, Any]] = {"required": {}}
    for declared in node_type.inputs.values():
        if not declared.hidden:
            section = "required" if declared.required else "optional"
            sections.setdefault(section, {})[declared.name] = _describe_input(declared, files)
    hidden = {name: mark.value for name, mark in node_type.hidden.items() if mark not in OURS}
    hidden |= {one.name: one.type for one in node_type.inputs.values() if one.hidden}
    if hidden:
        sections["hidden"] = dict(hidden)
    return {
        "input": sections,
        "input_order": {section: list(inputs) for section, inputs in sections.items()},
        "is_input_list": node_type.input_is_list,
        "output": [output.type for output in node_type.outputs],
        "output_is_list": [output.is_list for output in node_type.outputs],
        "output_name": [output.name for output in node_type.outputs],
        "name": node_type.name,
        "display_name": node_type.display_name or node_type.name,
        "description": node_type.description,
        "python_module": "nodes",
        "category": node_type.category,
        "output_node": node_type.output_node,
        "deprecated": node_type.deprecated,
        "experimental": node_type.experimental,
    }


class ObjectInfo(Mapping[str, Any]):
    """The whole of /object_info, each entry made when it is asked for."""

    def __init__(self, node_types: Mapping[str, NodeType], files: FileLists) -> None:
        self._node_types = node_types
        self._files = files

    def __getitem__(self, name: str) -> dict[str, Any]:
        node_type = self._node_types[name]
        if node_type.internal:
            raise KeyError(name)
        return describe(node_type, self._files)

    def __iter__(self) -> Iterator[str]:
        return (name for name, known in self._node_types.items() if not known.internal)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _describe_input(declared: Input, files: FileLists) -> list[Any]:
    options = declared.widget.options()
    if declared.default is not REQUIRED:
        options["default"] = declared.default
    if declared.upload and declared.type == "COMBO" and declared.upload.kind != "latent":
        options[f"{declared.upload.kind}_upload"] = True
    if declared.upload and declared.upload.saved:
        options |= SAVED
    options |= {name: True for name, said in _marks(declared).items() if said}
    if declared.growing:
        options["template"] = _template(declared.growing, files)
    if declared.options:
        options["options"] = [_option(option, files) for option in declared.options.options]
    choices = choices_of(declared, files)
    return [declared.type if choices is None else choices, options]


def _marks(declared: Input) -> dict[str, bool]:
    return {"lazy": declared.lazy, "rawLink": declared.raw_link}


def _template(growing: Growing, files: FileLists) -> dict[str, Any]:
    section = "required" if growing.template.required else "optional"
    like = {section: {growing.template.name: _describe_input(growing.template, files)}}
    return {"input": like, "names": list(growing.names), "min": growing.least}


def _option(option: Option, files: FileLists) -> dict[str, Any]:
    sections: dict[str, dict[str, Any]] = {"required": {}}
    for one in option.inputs.values():
        section = "required" if one.required else "optional"
        sections.setdefault(section, {})[one.name] = _describe_input(one, files)
    return {"key": option.key, "inputs": sections}
