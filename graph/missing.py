"""Lists all node types and model files of a workflow that are not available here.

Unlike validation this looks at every node, also at those that no output needs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graph.node import Files, NodeType
from graph.node_packs import pack_of
from graph.object_info import FileLists
from graph.prompt import RequiredModel, Workflow

FACTS = ("url", "hash", "hash_type")


@dataclass(frozen=True)
class AskedModels:
    """The model files that a document asks for, by their names."""

    models: Iterable[RequiredModel]

    @cached_property
    def by_name(self) -> Mapping[str, list[RequiredModel]]:
        found: dict[str, list[RequiredModel]] = defaultdict(list)
        for model in self.models:
            found[model.name].append(model)
        return found

    def facts(self, folder: str, name: str) -> dict[str, str]:
        """Folder and name of a file, and its url and hash where the document says them."""
        named = self.by_name.get(_base(name), [])
        known = min(named, key=lambda model: model.directory != folder, default=None)
        said = {fact: getattr(known, fact) for fact in FACTS} if known else {}
        return {"folder": folder, "name": name} | {k: v for k, v in said.items() if v}


def missing_nodes(
    workflow: Workflow, node_types: Mapping[str, NodeType], comfyui: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Every node whose type is not here: `node_id`, `class_type`, `pack` (None if unknown)."""
    return [
        {
            "node_id": node_id,
            "class_type": node.class_type,
            "pack": pack_of(node.class_type, node.pack, comfyui) or None,
        }
        for node_id, node in workflow.nodes.items()
        if node.class_type and node.class_type not in node_types
    ]


def missing_models(
    workflow: Workflow, node_types: Mapping[str, NodeType], files: FileLists
) -> list[dict[str, Any]]:
    """Every model file that is not here: `folder`, `name`, `url` and `hash` where the document
    says them, and the `node_id` and `input` that name it, where one does.
    """
    asked = AskedModels(workflow.models)
    here: dict[str, set[str]] = {}

    def is_here(folder: str, name: str) -> bool:
        if folder not in here:
            here[folder] = set(files.models(folder))
        return name.replace("\\", "/") in here[folder]

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for node_id, input_name, declared, value in _named(workflow, node_types):
        if value not in declared.also and not is_here(declared.folder, value):
            place = declared.lies_in or declared.folder
            facts = asked.facts(place, value) | {"node_id": node_id, "input": input_name}
            found.setdefault((place, value), facts)
    if not workflow.models:
        return list(found.values())
    listed = {_base(name) for _, name in found}
    inputs = (own for kind in node_types.values() for own in kind.inputs.values())
    lists = {
        (own.files.lies_in or own.files.folder, own.files.folder) for own in inputs if own.files
    }
    bases: dict[str, set[str]] = {}
    for place, folder in lists:
        if place in {model.directory for model in workflow.models}:
            bases.setdefault(place, set()).update(map(_base, files.models(folder)))
    for model in workflow.models:
        if model.name not in listed and model.name not in bases.get(model.directory, ()):
            found[model.directory, model.name] = asked.facts(model.directory, model.name)
    return list(found.values())


def _base(name: str) -> str:
    """A file's name without its folders."""
    return name.replace("\\", "/").rpartition("/")[2]


def _named(
    workflow: Workflow, node_types: Mapping[str, NodeType]
) -> Iterator[tuple[str, str, Files, str]]:
    """The model files that nodes name: node id, input, folder, name."""
    for node_id, node in workflow.nodes.items():
        node_type = node_types.get(node.class_type)
        for name, declared in node_type.inputs.items() if node_type else ():
            value = node.inputs.get(name)
            if declared.files and isinstance(value, str):
                yield node_id, name, declared.files, value
