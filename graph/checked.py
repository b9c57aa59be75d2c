"""A validated workflow: nodes whose inputs have all been checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graph.dynamic_inputs import layout
from graph.node import REQUIRED, NodeType
from graph.prompt import Source
from graph.skipped import Skipped
from graph.values import ModelFile


@dataclass(frozen=True)
class CheckedNode:
    """A node whose inputs are complete: constants of the right type, and links.

    `weights` are the files of its networks, as far as its constants tell them.
    """

    node_type: NodeType
    constants: Mapping[str, Any]
    links: Mapping[str, Source]
    weights: tuple[ModelFile, ...] = ()
    raw_links: frozenset[str] = frozenset()  # of `links`: those that are handed on as they are

    @property
    def lazy_inputs(self) -> frozenset[str]:
        """The linked inputs that are computed only if the node asks for them."""
        if not self.node_type.lazy:
            return frozenset()
        declared = layout(self.node_type.inputs, {**self.constants, **self.links}).inputs
        return frozenset(name for name, one in declared.items() if one.lazy) & self.links.keys()


@dataclass(frozen=True)
class CheckedWorkflow:
    """The nodes that the outputs need, in an order in which they can run."""

    nodes: Mapping[str, CheckedNode]
    output_ids: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()  # outputs that cannot run

    def link_types(self, node_id: str) -> dict[str, str]:
        """The types of what a node is linked to, by input."""
        return {
            name: self.nodes[link.node_id].node_type.outputs[link.slot].type
            for name, link in self.nodes[node_id].links.items()
        }


def with_defaults(node: CheckedNode) -> dict[str, Any]:
    """The constants of a node and the defaults of what was left out."""
    given = layout(node.node_type.inputs, {**node.constants, **node.links}).inputs.items()
    defaults = {name: i.default for name, i in given if i.default is not REQUIRED}
    linked = node.links.keys()
    return {k: v for k, v in defaults.items() if k not in linked} | dict(node.constants)
