"""A workflow as the service works with it: typed nodes by id, links as values of inputs.

It is ComfyUI's API format ("prompt") made exact, plus what only the editor's file knows: names the
author chose, models the file asks for, and the other names a node can be called by.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graph.errors import ServiceError
from graph.problems import Problem


@dataclass(eq=False)
class WorkflowUnreadable(ServiceError):  # noqa: N818
    """A document that is no workflow. `node_id` and `input` are empty where unknown."""

    status = 422
    code = "invalid_prompt"
    template = "{problem}"
    problem: str
    node_id: str
    input: str

    def body(self) -> dict[str, Any]:
        """The facts, as those of any problem of a workflow."""
        place = self.node_id or None, None, self.input or None
        return Problem(self.code, self.problem, *place).body()


@dataclass(eq=False)
class WorkflowNotJson(WorkflowUnreadable):
    """Text that is not JSON, or JSON that is not an object."""

    status = 400
    code = "invalid_json"


@dataclass(eq=False)
class WorkflowTooLarge(WorkflowUnreadable):
    """A document over one of the limits for reading."""

    status = 413
    code = "workflow_too_large"


@dataclass(eq=False)
class BadLinkedInput(WorkflowUnreadable):
    """A link that is malformed, or leads to nothing; `node_id` and `input` say where it ends."""

    code = "bad_linked_input"


@dataclass(eq=False)
class DependencyCycle(WorkflowUnreadable):
    """Links or subgraphs that lead back to themselves."""

    code = "dependency_cycle"


@dataclass(frozen=True)
class Source:
    """A link, as the value of an input: an output slot of another node."""

    node_id: str
    slot: int


@dataclass(frozen=True)
class NoLink:
    """A list that is not a link, as the value of an input: wrong where its type has the input."""

    value: list[Any]


@dataclass(frozen=True)
class Node:
    """One node that may run. `inputs` holds JSON constants, `Source`s and `NoLink`s.

    `pack` says where the class comes from (`comfyui-kjnodes@1.0.5`), when the file does. `names`
    are its other names: the path stored in the file, its "Node name for S&R", its path of titles.
    """

    class_type: str
    inputs: Mapping[str, Any]
    title: str = ""
    pack: str = ""
    names: tuple[str, ...] = ()

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Its linked inputs, by name."""
        for name, value in self.inputs.items():
            if isinstance(value, Source):
                yield name, value


@dataclass(frozen=True)
class Handle:
    """A node of the file that does not run itself: a subgraph instance or a PrimitiveNode.

    `inputs` maps its input names to the (node id, input)s that take the value.
    """

    inputs: Mapping[str, tuple[tuple[str, str], ...]]
    title: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequiredModel:
    """A model file the document asks for; a field it does not give is empty."""

    name: str
    directory: str = ""
    url: str = ""
    hash: str = ""
    hash_type: str = ""


@dataclass(frozen=True)
class Workflow:
    """A document ready for overrides, validation and planning.

    `named_inputs` are App Mode's: the author's name -> (id of a node or handle, input);
    `output_ids` are the outputs it chose. `ui` is the UI document as it came, for PNG metadata.
    `warnings` say what was left out of account, `repairs` what was changed to make sense of the
    file. `handles` are nodes that do not run, but whose inputs can be set. `problems` say what is
    wrong with the document itself, or with what was asked of it: with any of them nothing runs.
    `broken_links` keep only those nodes from running that have them.
    """

    nodes: Mapping[str, Node]
    named_inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    output_ids: tuple[str, ...] = ()
    models: tuple[RequiredModel, ...] = ()
    ui: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    handles: Mapping[str, Handle] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    broken_links: tuple[Problem, ...] = ()
    targets: frozenset[str] | None = None  # the only outputs that are asked for; None: all

    def only(self, targets: Iterable[str] | None) -> "Workflow":
        """The same, of which these outputs alone are asked for; all where it is None."""
        return self if targets is None else replace(self, targets=frozenset(targets))

    def to_api(self) -> dict[str, Any]:
        """The workflow in ComfyUI's API format, with titles and packs in `_meta`."""
        return {node_id: _api_node(node) for node_id, node in self.nodes.items()}


def _api_node(node: Node) -> dict[str, Any]:
    meta = {"title": node.title or node.class_type}
    pack, _, version = node.pack.rpartition("@") if "@" in node.pack else (node.pack, "", "")
    if pack:
        meta["aux_id" if "/" in pack else "cnr_id"] = pack
    if version:
        meta["ver"] = version
    inputs = {name: _api_value(value) for name, value in node.inputs.items()}
    return {"inputs": inputs, "class_type": node.class_type, "_meta": meta}


def _api_value(value: Any) -> Any:
    if isinstance(value, Source):
        return [value.node_id, value.slot]
    if isinstance(value, NoLink):
        return value.value
    return {"__value__": value} if isinstance(value, list) else value


def pack_name(facts: Mapping[str, Any]) -> str:
    """`<cnr_id or aux_id>@<ver>` of a node's `_meta` or `properties`, as far as they say."""
    pack, version = facts.get("cnr_id") or facts.get("aux_id"), facts.get("ver")
    if not isinstance(pack, str):
        return ""
    return f"{pack}@{version}" if isinstance(version, str) and version else pack
