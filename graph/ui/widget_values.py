"""Assigns saved values to widgets, and converts them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from graph.ui.document import UiNode
from graph.ui.widgets import (
    CONTROL,
    CONTROL_FILTER,
    CONTROL_VALUES,
    CUSTOM_COMBO,
    DYNAMIC_GROUP,
    Widget,
    brought_by,
    folded,
)

TYPES: Mapping[str, tuple[type, ...]] = {
    "INT": (int,),
    "FLOAT": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "BOUNDING_BOX": (dict,),
    "BOUNDING_BOXES": (list,),
    "COLORS": (list,),
    "CURVE": (dict,),
    CONTROL: (str, bool),
    CONTROL_FILTER: (str,),
}
BUTTONS = frozenset({"upload3dmodel", "uploadExtraResources", "clear"})  # saved before a LOAD_3D
POWER_LORAS = "Power Lora Loader (rgthree)"
MAX_HIDDEN = 6  # of these, every subset is tried as missing
MAX_INSERTED = 100  # a control is tried after each of these
MISSING: Final = object()

Dealt = Sequence[tuple[Widget, Any]]


@dataclass(frozen=True)
class WidgetValues:
    """Values by widget name, and sentences on what had to be guessed or was left out.

    `slots` are the widgets and sockets that the node has with these values.
    """

    values: Mapping[str, Any]
    slots: tuple[Widget, ...] = ()
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def widget_values(node: UiNode, slots: Sequence[Widget], *, by_name: bool) -> WidgetValues:
    """The node's values by widget name, defaults where the file has none.

    `by_name`: whether an object in `widgets_values` is read. The editor reads it for custom nodes
    that say so, and gives all others their defaults.
    """
    if node.type == CUSTOM_COMBO:
        slots = (*slots, *_options(node.values))
    dealt, repairs, warnings = _dealt(node, slots, by_name=by_name)
    values = {}
    for widget, saved in dealt:
        if not widget.sent:
            continue
        value = widget.default if saved is MISSING or widget.kind == "IMAGECOMPARE" else saved
        values[widget.name] = mended = mend(widget, value)
        if mended != value and value is not None:
            repairs.append(f"{label(node)}: {widget.name} {value!r:.60} was read as {mended!r}.")
    if node.type == POWER_LORAS:
        values |= _power_loras(node)
    return WidgetValues(values, tuple(slot for slot, _ in dealt), tuple(repairs), warnings)


def _power_loras(node: UiNode) -> dict[str, Any]:
    """The LoRAs of rgthree's loader, numbered as its script does (power_lora_loader.ts).

    It makes a widget of every saved value with a LoRA; headers and buttons are no inputs. The
    strength of text encoders is sent where the node shows it.
    """
    saved = node.values if isinstance(node.values, list) else []
    loras = [dict(value) for value in saved if isinstance(value, dict) and "lora" in value]
    for lora in loras:
        of_clip = lora.pop("strengthTwo", None)
        if node.properties.get("Show Strengths") == "Separate Model & Clip":
            lora["strengthTwo"] = 1 if of_clip is None else of_clip
    return {f"lora_{number}": lora for number, lora in enumerate(loras, 1)}


def label(node: UiNode) -> str:
    """How sentences name a node."""
    return f"Node {node.stored_id} ({node.type})"


def _options(values: object) -> Iterator[Widget]:
    """The widgets that the editor gives a CustomCombo: an index, its options, an empty one."""
    yield Widget("index", "INT")
    options = values[2:] if isinstance(values, list) else []
    filled = next((i for i, option in enumerate(options) if not option), len(options))
    yield from (Widget(f"option{i}", "STRING") for i in range(1, filled + 2))


def _dealt(
    node: UiNode, slots: Sequence[Widget], *, by_name: bool
) -> tuple[Dealt, list[str], tuple[str, ...]]:
    """The slots with their saved values, repairs and warnings.

    Positions come first: names are in newer files as well, where now and then they are stale.
    """
    if isinstance(node.values, list) and node.values:
        return *_positional(node, slots, node.values), ()
    named: Mapping[str, Any] = node.named_values
    warnings: tuple[str, ...] = ()
    if isinstance(node.values, dict) and by_name:
        named = node.values
    elif isinstance(node.values, dict) and node.values and not named:
        sentence = f"{label(node)}: widgets_values is an object, which this node does not read."
        warnings = (sentence,)
    return deal(slots, lambda slot: named.get(slot.name, MISSING)), [], warnings


def _positional(
    node: UiNode, slots: Sequence[Widget], values: Sequence[Any]
) -> tuple[Dealt, list[str]]:
    """Values by position, with controls left out or put in if that fits better."""
    best = first = _deal_in_order(slots, values)
    fewest = _misfits(first)
    if fewest:
        for layout in _layouts(slots):
            dealt = _deal_in_order(layout, values)
            if (misfits := _misfits(dealt)) < fewest:
                best, fewest = dealt, misfits
    if best is first:
        return best, []
    order = ", ".join(slot.name for slot, value in best if slot.saved and value is not MISSING)
    return best, [f"{label(node)}: widgets_values were read as {order}."]


def _deal_in_order(slots: Sequence[Widget], values: Sequence[Any]) -> Dealt:
    left = iter(values)

    def next_value(slot: Widget) -> Any:
        value = next(left, MISSING)
        while slot.kind == "LOAD_3D" and isinstance(value, str) and value in BUTTONS:
            value = next(left, MISSING)
        return value

    return deal(slots, next_value)


def own_values(node: UiNode, slots: Sequence[Widget]) -> dict[str, Any]:
    """The values that the file has for a node, by name; what it does not say is not there."""
    if not isinstance(node.values, list):
        return {}
    dealt, _ = _positional(node, slots, node.values)
    return {slot.name: value for slot, value in dealt if value is not MISSING}


def deal(slots: Sequence[Widget], value_of: Callable[[Widget], Any]) -> Dealt:
    """Each slot with its saved value; what the choice of a dynamic combo brings follows it."""
    dealt, waiting = [], list(reversed(slots))
    while waiting:
        slot = waiting.pop()
        value = value_of(slot) if slot.saved else MISSING
        dealt.append((slot, value))
        if slot.branches or slot.kind == DYNAMIC_GROUP:
            value = mend(slot, slot.default if value is MISSING else value)
            waiting.extend(reversed(brought_by(slot, value)))
    return dealt


def _layouts(slots: Sequence[Widget]) -> Iterator[Sequence[Widget]]:
    """Orders of slots that other versions of the editor, or of the node, may have saved."""
    hidden = [i for i, slot in enumerate(slots) if slot.saved and not slot.sent][:MAX_HIDDEN]
    for count in range(1, len(hidden) + 1):
        for left_out in combinations(hidden, count):
            yield [slot for i, slot in enumerate(slots) if i not in left_out]
    for i, slot in enumerate(slots[:MAX_INSERTED], start=1):
        if slot.kind in ("INT", "COMBO") and (i == len(slots) or slots[i].kind != CONTROL):
            yield [*slots[:i], Widget("control_after_generate", CONTROL), *slots[i:]]


def _misfits(dealt: Dealt) -> int:
    return sum(_misfit(slot, value) for slot, value in dealt if value is not MISSING)


def _misfit(widget: Widget, value: Any) -> int:
    """0 if `value` may be this widget's, 1 if it is unlikely, 2 if it is of another type."""
    if value is None:
        return 0
    if widget.kind == CONTROL:
        return 0 if isinstance(value, bool) or value in CONTROL_VALUES else 2
    if widget.choices is not None:
        return _choice_misfit(widget, value)
    if isinstance(value, bool) and widget.kind in TYPES and widget.kind != "BOOLEAN":
        return 2
    if widget.kind == "INT" and isinstance(value, float):
        return 0 if value.is_integer() else 2
    types = TYPES.get(widget.kind)
    return 0 if types is None or isinstance(value, types) else 2


def _choice_misfit(widget: Widget, value: Any) -> int:
    choices = widget.choices or ()
    if widget.offers(value):
        return 0
    if not isinstance(value, str | int | float):
        return 2
    if value in CONTROL_VALUES or (choices and type(value) is not type(choices[0])):
        return 2
    return 1


def mend(widget: Widget, value: Any) -> Any:
    """`value`, in the spelling the widget's list has if only that differs; null is the default."""
    if widget.choices is None:
        if value is None and widget.kind == "STRING":
            return ""
        return _boolean(value) if widget.kind == "BOOLEAN" else value
    if value is None:
        return widget.default
    if widget.offers(value):
        return value
    if isinstance(value, str) and widget.offers(value.removeprefix("sample_")):
        return value.removeprefix("sample_")
    return widget.spelled(value)


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(folded(value), value)
