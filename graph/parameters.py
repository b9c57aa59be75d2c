"""A workflow's parameters as a JSON Schema of `inputs`."""

from collections.abc import Iterator, Mapping
from typing import Any

from graph.names import InputNames, Target
from graph.prompt import NoLink, Source, Workflow

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {"INT": "integer", "FLOAT": "number", "STRING": "string", "BOOLEAN": "boolean"}
UPLOADS = ("image", "video", "audio")


def parameters(workflow: Workflow, node_types: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema object (draft 2020-12); each property's name is a key for `inputs`.

    If the author chose inputs in App Mode these are all, in the author's order; else each constant
    input of each node, as "<id>.<input>", in the workflow's order. A form is drawn from the marks:
    `x-seed` takes "random" too, `x-multiline` is long text, `x-upload` names the kind of file
    ("image"), `x-advanced` may be folded away, `x-group` is the node's title.
    """
    names = InputNames(workflow, node_types)
    properties = {
        key: _schema(workflow, names, targets[0], title)
        for key, targets, title in _public(workflow, names)
    }
    return {"$schema": DIALECT, "type": "object", "properties": properties}


def _public(workflow: Workflow, names: InputNames) -> Iterator[tuple[str, tuple[Target, ...], str]]:
    if workflow.named_inputs:
        for key, target in workflow.named_inputs.items():
            if found := names.inputs(*target):
                yield key, found, key
        return
    for node_id, node in workflow.nodes.items():
        for name, value in node.inputs.items():
            if not isinstance(value, Source | NoLink):
                title = f"{_node_title(workflow, node_id)}: {name}"
                yield f"{node_id}.{name}", ((node_id, name),), title


def _node_title(workflow: Workflow, node_id: str) -> str:
    node = workflow.nodes[node_id]
    return node.title or f"{node.class_type} ({node_id})"


def _schema(workflow: Workflow, names: InputNames, target: Target, title: str) -> dict[str, Any]:
    node_id, name = target
    value = workflow.nodes[node_id].inputs.get(name)
    declared = next((d for d in names.facts(node_id) if d[0] == name), None)
    schema: dict[str, Any] = {"title": title}
    if declared is None:
        schema |= _type_of(value)
    else:
        schema |= _declared_type(declared[1], declared[2]) | _marks(declared[2])
    if not isinstance(value, Source | NoLink) and value is not None:
        schema["default"] = value
    schema |= {"x-node-id": node_id, "x-input": name, "x-group": _node_title(workflow, node_id)}
    return _with_random(schema) if names.seed_range(target) else schema


def _declared_type(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    choices = kind if isinstance(kind, list | tuple) else options.get("options")
    if isinstance(kind, list | tuple) or kind == "COMBO":
        return {"enum": list(choices)} if choices else {"type": "string"}
    if kind not in TYPES:
        return {}
    schema: dict[str, Any] = {"type": TYPES[kind]}
    if kind in ("INT", "FLOAT"):
        bounds = {"minimum": options.get("min"), "maximum": options.get("max")}
        schema |= {key: bound for key, bound in bounds.items() if bound is not None}
    if isinstance(options.get("tooltip"), str):
        schema["description"] = options["tooltip"]
    return schema


def _marks(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a form needs to know beyond the type."""
    kinds = [kind for kind in UPLOADS if options.get(f"{kind}_upload")]
    marks = {
        "x-upload": kinds[0] if kinds else None,
        "x-multiline": options.get("multiline") is True or None,
        "x-advanced": options.get("advanced") is True or None,
    }
    return {name: mark for name, mark in marks.items() if mark is not None}


def _type_of(value: Any) -> dict[str, Any]:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return {"type": name}
    return {}


def _with_random(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a seed: a number as declared, or "random"."""
    numeric = {key: schema[key] for key in ("type", "minimum", "maximum") if key in schema}
    others = {key: value for key, value in schema.items() if key not in numeric}
    return {**others, "anyOf": [numeric, {"const": "random"}], "x-seed": True}
