"""Reads a workflow document in either of ComfyUI's formats."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from graph.problems import Problem
from graph.prompt import (
    Node,
    NoLink,
    Source,
    Workflow,
    WorkflowNotJson,
    WorkflowTooLarge,
    WorkflowUnreadable,
    pack_name,
)
from graph.shown import json_kind
from graph.ui import convert_ui

WRAPPERS = ("prompt", "workflow", "output")  # API format first: it is what was really run
MAX_WRAPPERS = 5


@dataclass(frozen=True)
class ReadLimits:
    """How large a document may be: its text, its JSON nesting, its nodes, its subgraph nesting.

    `max_nodes` and `max_text`, which is as much as a request may send, hold for a file of the
    editor after its subgraphs are laid out, and what they repeat with them.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_json_depth: int = 100
    max_nodes: int = 5_000
    max_text: int = 64 * 2**20  # characters
    max_subgraph_depth: int = 100


def read_workflow(
    body: object,
    node_types: Mapping[str, Any],
    *,
    seed: int = 0,
    now: datetime | None = None,
    limits: ReadLimits | None = None,
) -> Workflow:
    """The workflow in `body`: API or UI format, a JSON string or an object, bare or wrapped.

    Wrapped is `{"prompt": ...}`, `{"workflow": ...}` or an item of ComfyUI's /history. `node_types`
    is in /object_info's format; `seed` draws the choices of dynamic prompts and `now` fills
    `%date%` (today if not given), both in UI format only.

    Raises:
        WorkflowUnreadable: it is no workflow; a subclass where more is known.
    """
    limits = limits or ReadLimits()
    document, ui = _unwrapped(_json_object(body, limits), limits)
    if isinstance(document.get("nodes"), list):
        workflow = convert_ui(
            document,
            node_types,
            seed=seed,
            now=now,
            max_nodes=limits.max_nodes,
            max_depth=limits.max_subgraph_depth,
            max_text=limits.max_text,
        )
        return replace(workflow, ui=document)
    return _read_api(document, ui, limits)


def _json_object(body: object, limits: ReadLimits) -> dict[str, Any]:
    value = _parsed(body, limits) if isinstance(body, str | bytes | bytearray) else body
    if not isinstance(value, Mapping):
        problem = f"The workflow must be a JSON object, got {json_kind(value)}."
        raise WorkflowNotJson(problem, "", "")
    plain = _plain(value, limits.max_json_depth, limits)
    assert isinstance(plain, dict)
    return plain


def _parsed(text: str | bytes | bytearray, limits: ReadLimits) -> object:
    if len(text) > limits.max_bytes:
        problem = f"The workflow is {len(text)} bytes long; at most {limits.max_bytes} are read."
        raise WorkflowTooLarge(problem, "", "")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded.removeprefix("\ufeff"))
    except RecursionError:
        raise _too_deep(limits) from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ones
        problem = f"The workflow is not JSON: {error}."
        raise WorkflowNotJson(problem, "", "") from None


def _plain(value: object, depth: int, limits: ReadLimits) -> Any:
    """A copy of `value` made of JSON's types alone, NaN and infinities as null."""
    if isinstance(value, str):
        return _text_of(value)
    if value is None or isinstance(value, int | float):
        return value if value is None or _is_finite(value) else None
    if depth < 0:
        raise _too_deep(limits)
    if isinstance(value, dict | Mapping):
        return {_text_of(str(key)): _plain(each, depth - 1, limits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth - 1, limits) for each in value]
    problem = "The workflow holds something that JSON cannot say."
    raise WorkflowNotJson(problem, "", "")


def _text_of(value: str) -> str:
    """`value` with what Unicode cannot encode (half a surrogate pair) replaced by "?"."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _is_finite(value: float) -> bool:
    """Whether `value` is a number in JavaScript."""
    return math.isfinite(value) if isinstance(value, float) else value.bit_length() < 1024


def _too_deep(limits: ReadLimits) -> WorkflowTooLarge:
    problem = f"The workflow's JSON is nested more than {limits.max_json_depth} levels deep."
    return WorkflowTooLarge(problem, "", "")


def _unwrapped(
    document: dict[str, Any], limits: ReadLimits
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The innermost document, and the UI document that lies beside it, if one does."""
    ui: dict[str, Any] | None = None
    for _ in range(MAX_WRAPPERS):
        if isinstance(document.get("nodes"), list) or _looks_like_api(document):
            return document, ui
        ui = _ui_beside(document) or ui
        document = _json_object(_wrapped(document), limits)
    problem = "The workflow is wrapped in itself too many times."
    raise WorkflowUnreadable(problem, "", "")


def _wrapped(document: Mapping[str, Any]) -> object:
    for key in WRAPPERS:
        inner = document.get(key)
        if isinstance(inner, list) and len(inner) > 2:  # /history: [number, id, prompt, ...]
            inner = inner[2]
        if isinstance(inner, dict) or (isinstance(inner, str) and inner.strip("\ufeff \n\t")):
            return inner
    if len(document) == 1:  # /history/{id}: one item under its id
        (only,) = document.values()
        if isinstance(only, dict) and "prompt" in only:
            return only
    raise _no_workflow(document)


def _ui_beside(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The editor's document of `extra_data`, or beside a prompt as in a picture's metadata."""
    prompt = document.get("prompt")
    extra = document.get("extra_data")
    if isinstance(prompt, list) and len(prompt) > 3:
        extra = prompt[3]
    info = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
    found = (info if isinstance(info, dict) else document).get("workflow")
    is_ui = isinstance(found, dict) and isinstance(found.get("nodes"), list)
    return found if is_ui and prompt is not None else None


def _no_workflow(document: Mapping[str, Any]) -> WorkflowUnreadable:
    found = ", ".join(map(repr, list(document)[:5])) or "nothing"
    problem = (
        "The workflow has neither nodes with a class_type (API format) nor a list of nodes "
        f"(UI format); found {found}."
    )
    return WorkflowUnreadable(problem, "", "")


def _looks_like_api(document: Mapping[str, Any]) -> bool:
    return any(isinstance(node, dict) and "class_type" in node for node in document.values())


def _read_api(
    document: Mapping[str, Any], ui: dict[str, Any] | None, limits: ReadLimits
) -> Workflow:
    if len(document) > limits.max_nodes:
        problem = f"The workflow has {len(document)} nodes; at most {limits.max_nodes} are read."
        raise WorkflowTooLarge(problem, "", "")
    nodes: dict[str, Node] = {}
    problems: list[Problem] = []
    for node_id, node in document.items():
        nodes[node_id] = _api_node(node)
        if wrong := _wrong_node(node_id, node):
            problems.append(wrong)
    return Workflow(nodes, ui=ui, problems=tuple(problems))


def _wrong_node(node_id: str, node: object) -> Problem | None:
    """What keeps a part of the document from being a node."""
    if not isinstance(node, dict):
        said, expected, received = (
            f"A node must be an object, got {json_kind(node)}.",
            "an object",
            node,
        )
        return Problem("invalid_prompt", said, node_id, expected=expected, received=received)
    class_type, inputs = node.get("class_type"), node.get("inputs")
    if not isinstance(class_type, str) or not class_type:
        title = _text(_as_object(node.get("_meta")).get("title"))
        of = f" (titled {title!r})" if title else ""
        said = f"It{of} has no class_type; was the file saved where its node type was missing?"
        return Problem(
            "invalid_prompt", said, node_id, expected="a class_type", received=class_type
        )
    if inputs and not isinstance(inputs, dict):
        said = f"Its inputs must be an object, got {json_kind(inputs)}."
        return Problem(
            "invalid_prompt", said, node_id, class_type, expected="an object", received=inputs
        )
    return None


def _api_node(node: object) -> Node:
    """A node, as far as it is one; without a class_type where it has none."""
    facts = _as_object(node)
    meta = _as_object(facts.get("_meta"))
    values = {name: _api_input(value) for name, value in _as_object(facts.get("inputs")).items()}
    class_type = _text(facts.get("class_type"))
    return Node(class_type, values, title=_text(meta.get("title")), pack=pack_name(meta))


def _as_object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _api_input(value: Any) -> Any:
    """A constant or a `Source`; a list that is meant as a value comes as {"__value__": [...]}."""
    if isinstance(value, dict) and "__value__" in value and "__type__" not in value:
        return value["__value__"]
    if not isinstance(value, list):
        return value
    match value:
        case [str() | int() as origin, int() as slot] if slot >= 0 and not _has_bool(value):
            return Source(str(origin), slot)
    return NoLink(value)


def _has_bool(values: list[Any]) -> bool:
    return any(isinstance(value, bool) for value in values)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
