"""Which saved value belongs to which widget, and what a value is to become."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from graph.ui.document import UiNode
from graph.ui.widgets import CONTROL, CONTROL_FILTER, CONTROL_VALUES, UPLOAD, Widget

TYPES: Mapping[str, tuple[type, ...]] = {
    "INT": (int,),
    "FLOAT": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
    CONTROL: (str, bool),
    CONTROL_FILTER: (str,),
}
MAX_HIDDEN = 6  # of these, every subset is tried as missing
MAX_INSERTED = 100  # a control is tried after each of these


@dataclass(frozen=True)
class WidgetValues:
    """Values by widget name, and sentences on what had to be guessed or was left out."""

    values: Mapping[str, Any]
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def widget_values(node: UiNode, widgets: Sequence[Widget], *, by_name: bool) -> WidgetValues:
    """The node's values by widget name, defaults where the file has none.

    `by_name`: whether an object in `widgets_values` is read. The editor reads it for custom nodes
    that say so, and gives all others their defaults.
    """
    found = _saved_values(node, widgets, by_name=by_name)
    values, repairs = {}, list(found.repairs)
    for widget in widgets:
        if not widget.sent:
            continue
        value = found.values.get(widget.name, widget.default)
        values[widget.name] = mended = mend(widget, value)
        if mended != value and value is not None:
            repairs.append(f"{label(node)}: {widget.name} {value!r:.60} was read as {mended!r}.")
    return WidgetValues(values, tuple(repairs), found.warnings)


def label(node: UiNode) -> str:
    """How sentences name a node."""
    return f"Node {node.stored_id} ({node.type})"


def _saved_values(node: UiNode, widgets: Sequence[Widget], *, by_name: bool) -> WidgetValues:
    names = {widget.name for widget in widgets}
    if node.named_values and names.issuperset(node.named_values):
        return WidgetValues(node.named_values)
    if isinstance(node.values, dict):
        if by_name:
            return WidgetValues(node.values)
        warning = f"{label(node)}: widgets_values is an object, which this node does not read."
        return WidgetValues({}, warnings=(warning,) if node.values else ())
    return _positional(node, widgets)


def _positional(node: UiNode, widgets: Sequence[Widget]) -> WidgetValues:
    """Values by position, with controls left out or put in if that fits better."""
    values = node.values if isinstance(node.values, list) else []
    best, fewest = widgets, _misfits(widgets, values)
    if fewest:
        for layout in _layouts(widgets):
            if (misfits := _misfits(layout, values)) < fewest:
                best, fewest = layout, misfits
    repairs: tuple[str, ...] = ()
    if best is not widgets:
        order = ", ".join(widget.name for widget in best)
        repairs = (f"{label(node)}: widgets_values were read as {order}.",)
    return WidgetValues({w.name: v for w, v in zip(best, values, strict=False)}, repairs)


def _layouts(widgets: Sequence[Widget]) -> Iterator[Sequence[Widget]]:
    """Orders of slots that other versions of the editor, or of the node, may have saved."""
    hidden = [i for i, widget in enumerate(widgets) if not widget.sent][:MAX_HIDDEN]
    for count in range(1, len(hidden) + 1):
        for left_out in combinations(hidden, count):
            yield [widget for i, widget in enumerate(widgets) if i not in left_out]
    for i, widget in enumerate(widgets[:MAX_INSERTED], start=1):
        if widget.kind in ("INT", "COMBO") and (i == len(widgets) or widgets[i].sent):
            yield [*widgets[:i], Widget("control_after_generate", CONTROL), *widgets[i:]]


def _misfits(widgets: Sequence[Widget], values: Sequence[Any]) -> int:
    return sum(_misfit(w, v) for w, v in zip(widgets, values, strict=False))


def _misfit(widget: Widget, value: Any) -> int:
    """0 if `value` may be this widget's, 1 if it is unlikely, 2 if it is of another type."""
    if value is None or widget.kind == UPLOAD:
        return 0
    if widget.kind == CONTROL:
        return 0 if isinstance(value, bool) or value in CONTROL_VALUES else 2
    if widget.choices is not None:
        return _choice_misfit(widget.choices, value)
    if isinstance(value, bool) and widget.kind != "BOOLEAN":
        return 2
    if widget.kind == "INT" and isinstance(value, float):
        return 0 if value.is_integer() else 2
    types = TYPES.get(widget.kind)
    return 0 if types is None or isinstance(value, types) else 2


def _choice_misfit(choices: Sequence[Any], value: Any) -> int:
    if value in choices:
        return 0
    if not isinstance(value, str | int | float):
        return 2
    if value in CONTROL_VALUES or (choices and type(value) is not type(choices[0])):
        return 2
    return 1


def mend(widget: Widget, value: Any) -> Any:
    """`value`, in the spelling the widget's list has if only that differs; null is the default."""
    if widget.choices is None:
        return _boolean(value) if widget.kind == "BOOLEAN" else value
    if value is None:
        return widget.default
    if value in widget.choices:
        return value
    if isinstance(value, str) and value.removeprefix("sample_") in widget.choices:
        return value.removeprefix("sample_")
    alike = [choice for choice in widget.choices if _folded(choice) == _folded(value)]
    return alike[0] if len(alike) == 1 else value


def _folded(value: Any) -> str:
    return str(value).casefold().replace("\\", "/")


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(_folded(value), value)
