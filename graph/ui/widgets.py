"""The widgets of a node type, in the order in which the editor creates and saves them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.ui.document import as_dict, as_list

WIDGET_TYPES = frozenset(
    (
        "INT",
        "FLOAT",
        "STRING",
        "BOOLEAN",
        "COMBO",
        "COLOR",
        "LOAD_3D",
        "LOAD_3D_ANIMATION",
        "WEBCAM",
    )
)
SEED_NAMES = frozenset({"seed", "noise_seed"})
UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload")
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
CONTROL = "CONTROL"  # kinds of slots that the editor saves and never sends
CONTROL_FILTER = "CONTROL_FILTER"
UPLOAD = "UPLOAD"


@dataclass(frozen=True)
class Widget:
    """One slot of `widgets_values`. `choices` is None unless it is a COMBO."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Any, ...] | None = None

    @property
    def sent(self) -> bool:
        """Whether it is an input of the node, not a control of the editor's own."""
        return self.kind not in (CONTROL, CONTROL_FILTER, UPLOAD)

    @property
    def default(self) -> Any:
        """The value a new node has; None where there is none, as in an empty list of choices."""
        if (default := self.options.get("default")) is not None:
            return default
        if self.choices is not None:
            return self.choices[0] if self.choices else None
        return {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}.get(self.kind)


def node_inputs(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """A node type's inputs in order: name, type (a list is a COMBO's choices), options."""
    groups, orders = as_dict(facts.get("input")), as_dict(facts.get("input_order"))
    for group in ("required", "optional"):
        specs = as_dict(groups.get(group))
        ordered = [name for name in as_list(orders.get(group)) if name in specs]
        for name in dict.fromkeys([*ordered, *specs]):
            spec = specs[name]
            if isinstance(spec, list | tuple) and spec:
                yield name, spec[0], as_dict(spec[1]) if len(spec) > 1 else {}


def widgets_of(facts: Mapping[str, Any]) -> tuple[Widget, ...]:
    """The widgets of a node type (an entry of /object_info), hidden controls among them."""
    return tuple(
        slot
        for name, kind, options in node_inputs(facts)
        if (widget := _widget(name, kind, options)) is not None
        for slot in (widget, *_controls(widget))
    )


def sockets_of(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and types of the inputs that are sockets from the start."""
    return tuple(
        (name, str(kind))
        for name, kind, options in node_inputs(facts)
        if _widget(name, kind, options) is None
    )


def _widget(name: str, kind: Any, options: Mapping[str, Any]) -> Widget | None:
    if options.get("forceInput"):
        return None
    if isinstance(kind, list | tuple):
        return Widget(name, "COMBO", options, tuple(kind))
    kind = options.get("widgetType", kind)
    if not isinstance(kind, str) or kind not in WIDGET_TYPES:
        return None
    choices = tuple(as_list(options.get("options"))) if kind == "COMBO" else None
    return Widget(name, kind, options, choices)


def _controls(widget: Widget) -> Iterator[Widget]:
    """The slots the editor adds after a widget."""
    seed = widget.kind == "INT" and widget.name in SEED_NAMES
    if widget.options.get("control_after_generate") or seed:
        yield Widget("control_after_generate", CONTROL)
        if widget.kind == "COMBO":
            yield Widget("control_filter_list", CONTROL_FILTER)
    if any(widget.options.get(upload) for upload in UPLOADS):
        yield Widget("upload", UPLOAD)
