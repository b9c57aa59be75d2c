"""Files of the editor's for tests: the recorded ones, and small ones drawn up in place."""

import json
from pathlib import Path
from typing import Any

GOLDENS = Path(__file__).parents[1] / "data" / "ui_to_api"


def golden(number: str) -> dict[str, Any]:
    """The recorded UI file whose name begins with `number`."""
    (path,) = GOLDENS.glob(f"{number}_*.ui.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def node(node_id: int | str, kind: str, values: Any = None, **more: Any) -> dict[str, Any]:
    """A node as version 0.4 saves it; `inputs` as (name, type, link) or (..., widget name)."""
    saved = {"id": node_id, "type": kind, "mode": 0, "properties": {}, "widgets_values": values}
    inputs = [_input(*item) for item in more.pop("inputs", ())]
    outputs = [{"name": kind, "type": kind, "links": []} for kind in more.pop("outputs", ())]
    return {**saved, "inputs": inputs, "outputs": outputs, **more}


def _input(name: str, kind: str, link: int | None, widget: str = "") -> dict[str, Any]:
    item: dict[str, Any] = {"name": name, "type": kind, "link": link}
    return item | ({"widget": {"name": widget}} if widget else {})


def document(nodes: list[dict[str, Any]], links: list[Any] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
    """A file of version 0.4."""
    return {"nodes": nodes, "links": links, "version": 0.4, **more}
