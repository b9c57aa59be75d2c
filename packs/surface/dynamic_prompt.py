"""DynamicPrompt: a workflow with the nodes that others expanded to."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

MOST_EPHEMERAL = 10_000


class NodeNotFoundError(Exception):
    """No node has that id."""


class DynamicPrompt:
    """What the hidden input DYNPROMPT gives."""

    def __init__(self, original_prompt: Mapping[str, Any]) -> None:
        self.original_prompt = original_prompt
        self.ephemeral_prompt: OrderedDict[str, Any] = OrderedDict()
        self.ephemeral_parents: dict[str, str] = {}
        self.ephemeral_display: dict[str, str] = {}

    def get_node(self, node_id: str) -> Any:
        """The class and the inputs of a node."""
        for nodes in (self.ephemeral_prompt, self.original_prompt):
            if node_id in nodes:
                return nodes[node_id]
        raise NodeNotFoundError(f"Node {node_id} not found")

    def has_node(self, node_id: str) -> bool:
        return node_id in self.original_prompt or node_id in self.ephemeral_prompt

    def add_ephemeral_node(
        self, node_id: str, node_info: Any, parent_id: str, display_id: str
    ) -> None:
        """A node that another one expanded to."""
        self.ephemeral_prompt[node_id] = node_info
        self.ephemeral_parents[node_id] = parent_id
        self.ephemeral_display[node_id] = display_id
        if len(self.ephemeral_prompt) > MOST_EPHEMERAL:
            gone, _ = self.ephemeral_prompt.popitem(last=False)
            self.ephemeral_parents.pop(gone, None)
            self.ephemeral_display.pop(gone, None)

    def get_real_node_id(self, node_id: str) -> str:
        """The node of the workflow that another one came from."""
        while node_id in self.ephemeral_parents:
            node_id = self.ephemeral_parents[node_id]
        return node_id

    def get_parent_node_id(self, node_id: str) -> str | None:
        return self.ephemeral_parents.get(node_id)

    def get_display_node_id(self, node_id: str) -> str:
        while node_id in self.ephemeral_display:
            node_id = self.ephemeral_display[node_id]
        return node_id

    def all_node_ids(self) -> set[str]:
        return {*self.original_prompt, *self.ephemeral_prompt}

    def get_original_prompt(self) -> Mapping[str, Any]:
        return self.original_prompt
