"""Files made with ComfyUI's node types are read by this service's own: they must agree."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

import graph.nodes
from graph.comfyui_nodes import load_comfyui_nodes
from graph.node import declared_in
from graph.object_info import describe
from graph.ui.widgets import sockets_of, widgets_of

KNOWN = load_comfyui_nodes()


class NoFiles:
    """A library without a single file."""

    def models(self, folder: str) -> list[str]:
        return []

    def uploads(self, kind: str) -> list[str]:
        return []


def own() -> Mapping[str, Any]:
    modules = [
        import_module(f"graph.nodes.{found.name}") for found in iter_modules(graph.nodes.__path__)
    ]
    types = declared_in(*modules)
    return {name: describe(node_type, NoFiles()) for name, node_type in types.items()}


OWN = own()


WINDOWS = "it has the widgets of 0.3.64; the newer ones come behind them"
# Types of ComfyUI 0.33.0 that are laid out differently here, and why their files read the same.
DIFFERENT = {
    "ComfySwitchNode": "its links are of any type",
    "ResizeImageMaskNode": "its link is of the two types by name",
    "CustomCombo": "the place of the choice comes last, behind what the editor saves",
    "ImageCompare": "the view of the editor is no widget, and there is no other",
    "LTXVAddGuide": "it has the links of 0.3.64; the two newer ones come behind them",
    "ContextWindowsManual": WINDOWS,
    "WanContextWindowsManual": WINDOWS,
}


def both() -> list[Any]:
    """The types that both know; of those in DIFFERENT the test has to fail."""
    return [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=DIFFERENT[name]))
        if name in DIFFERENT
        else name
        for name in sorted(OWN.keys() & KNOWN.keys())
    ]


@pytest.mark.parametrize("name", both())
def test_a_node_type_has_the_slots_and_widgets_of_comfyui(name: str) -> None:
    def layout(facts: Mapping[str, Any]) -> tuple[Any, ...]:
        widgets = [
            (w.name, w.kind, w.options.get("dynamicPrompts", False)) for w in widgets_of(facts)
        ]
        return widgets, sockets_of(facts)

    assert layout(OWN[name]) == layout(KNOWN[name])
