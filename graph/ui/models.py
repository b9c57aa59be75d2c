"""The model files that a document lists."""

from collections.abc import Iterable, Iterator
from typing import Any

from graph.prompt import RequiredModel
from graph.ui.document import UiDocument, UiNode, as_list

FIELDS = ("name", "directory", "url", "hash", "hash_type")


def required_models(document: UiDocument, nodes: Iterable[UiNode]) -> tuple[RequiredModel, ...]:
    """The models of the root list and of `nodes` (those that run), each once."""
    items = [*document.models, *_of_nodes(nodes)]
    found = [_model(item) for item in items if isinstance(item, dict)]
    return tuple({(m.directory, m.name): m for m in found if m.name}.values())


def _of_nodes(nodes: Iterable[UiNode]) -> Iterator[Any]:
    for node in nodes:
        yield from as_list(node.properties.get("models"))


def _model(item: dict[str, Any]) -> RequiredModel:
    texts = {name: item[name] for name in FIELDS if isinstance(item.get(name), str)}
    return RequiredModel(**{"name": "", **texts})
