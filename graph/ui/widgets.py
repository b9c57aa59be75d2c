"""The widgets of a node type, in the order in which the editor creates and saves them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from graph.ui.document import as_dict, as_list, number

DEFAULTS: Mapping[str, Any] = {  # kinds of widgets, and what a new one holds
    "INT": 0,
    "FLOAT": 0,
    "STRING": "",
    "BOOLEAN": False,
    "COMBO": None,
    "COLOR": "#000000",
    "TEXTAREA": "",
    "MARKDOWN": "",
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "RANGE": {"min": 0.0, "max": 1.0},
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "BOUNDING_BOXES": [],
    "COLORS": [],
    "IMAGECOMPARE": ["", ""],
    "PAINTER": "",
    "COMPOSITOR": {},
    "AUDIO_RECORD": "",
    "LOAD_3D": "",
    "PREVIEW_3D": "",
    "BUTTON": "refresh",
    "LOAD_3D_ANIMATION": "",
    "WEBCAM": None,
}
CURVE = "CURVE"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"  # each of its choices brings inputs of its own

DYNAMIC_GROUP = "COMFY_DYNAMICGROUP_V3"  # a number of rows of inputs, saved before them
WIDGETS = frozenset({*DEFAULTS, DYNAMIC_COMBO, DYNAMIC_GROUP})
AUTOGROW = "COMFY_AUTOGROW_V3"  # as many inputs as are linked
CUSTOM_COMBO = "CustomCombo"  # the one node type whose widgets the editor makes from their values
SHOWS_3D = frozenset({"Preview3D", "SaveGLB"})  # the editor adds the path of what they show
SEED_NAMES = frozenset({"seed", "noise_seed"})
UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload")
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
CONTROL = "CONTROL"  # kinds of places that the editor saves and never sends
CONTROL_FILTER = "CONTROL_FILTER"
UPLOAD = "UPLOAD"
PART = "PART"
SOCKET = "SOCKET"  # an input without a widget
AMBIGUOUS: Final = object()
MAX_GROWN = 100
MAX_DEPTH = 20  # of dynamic combos in dynamic combos
BOX_PARTS = ("x", "y", "width", "height")  # saved after the BOUNDING_BOX they make up


@dataclass(frozen=True)
class Widget:
    """One slot of `widgets_values`, or a socket (SOCKET) among them, which has none.

    `choices` is None unless it is a COMBO. `branches` are the inputs that each choice of a dynamic
    combo brings along; they follow it.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Any, ...] | None = None
    branches: Mapping[str, tuple["Widget", ...]] = field(default_factory=dict)

    @property
    def sent(self) -> bool:
        """Whether it is an input of the node with a value, not a control of the editor's own."""
        return self.kind not in (CONTROL, CONTROL_FILTER, UPLOAD, PART, SOCKET, DYNAMIC_GROUP)

    @property
    def saved(self) -> bool:
        """Whether it has a place in `widgets_values`."""
        return self.kind not in (SOCKET, "IMAGECOMPARE")

    @cached_property
    def _texts(self) -> frozenset[str]:
        return frozenset(choice for choice in self.choices or () if isinstance(choice, str))

    @cached_property
    def _spellings(self) -> Mapping[str, Any]:
        """Choices by what is left of them without upper case and backslashes, if it is one."""
        spellings: dict[str, Any] = {}
        for choice in self.choices or ():
            spellings[folded(choice)] = AMBIGUOUS if folded(choice) in spellings else choice
        return spellings

    def offers(self, value: Any) -> bool:
        """Whether `value` is one of the choices."""
        return value in self._texts if isinstance(value, str) else value in (self.choices or ())

    def spelled(self, value: Any) -> Any:
        """The one choice that differs from `value` in its spelling only, else `value`."""
        found = self._spellings.get(folded(value), AMBIGUOUS)
        return value if found is AMBIGUOUS else found

    @property
    def default(self) -> Any:
        """The value a new node has; None where there is none, as in an empty list of choices."""
        default = self.options.get("default")
        if default is not None and not self.branches:
            return default
        if self.choices is not None:
            return self.choices[0] if self.choices else None
        return DEFAULTS.get(self.kind)


def folded(value: Any) -> str:
    """A value as text, whatever its case and its slashes."""
    return str(value).casefold().replace("\\", "/")


def node_inputs(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """A node type's inputs in order: name, type (a list is a COMBO's choices), options."""
    groups, orders = as_dict(facts.get("input")), as_dict(facts.get("input_order"))
    for group in ("required", "optional"):
        specs = as_dict(groups.get(group))
        ordered = [n for n in as_list(orders.get(group)) if isinstance(n, str) and n in specs]
        for name in dict.fromkeys([*ordered, *specs]):
            spec = specs[name]
            if isinstance(spec, list | tuple) and spec:
                yield name, spec[0], as_dict(spec[1]) if len(spec) > 1 else {}


def slots_of(facts: Mapping[str, Any], node_type: str = "") -> tuple[Widget, ...]:
    """The widgets and sockets of a node type (an entry of /object_info), hidden controls too.

    With the type's name, also those that the editor alone knows it to have.
    """
    slots = [
        slot
        for name, kind, options in node_inputs(facts)
        for slot in _slots(name, kind, options, depth=0)
    ]
    uploads = [slot for slot in slots if slot.kind == UPLOAD]  # wherever they belong, they are last
    added = [Widget("image", "PREVIEW_3D")] if node_type in SHOWS_3D else []
    return (*(slot for slot in slots if slot.kind != UPLOAD), *added, *uploads)


def widgets_of(facts: Mapping[str, Any]) -> tuple[Widget, ...]:
    """The widgets of a node type, hidden controls among them."""
    return tuple(slot for slot in slots_of(facts) if slot.kind != SOCKET)


def sockets_of(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and types of the inputs that are sockets from the start."""
    return tuple(
        (name, str(kind))
        for name, kind, options in node_inputs(facts)
        if _widget_kind(kind, options) is None
    )


def _widget_kind(kind: Any, options: Mapping[str, Any]) -> str | None:
    """The kind of widget an input has; None for a socket."""
    if options.get("forceInput"):
        return None
    if isinstance(kind, list | tuple):
        return "COMBO"
    kind = options.get("widgetType", kind)
    return kind if isinstance(kind, str) and kind in WIDGETS else None


def _slots(name: str, kind: Any, options: Mapping[str, Any], *, depth: int) -> Iterator[Widget]:
    """An input as it stands among a node's widgets, with what the editor adds to it."""
    widget_kind = _widget_kind(kind, options)
    if widget_kind is None:
        yield Widget(name, SOCKET, options)
        if kind == AUTOGROW:
            yield from _grown(name, options, depth)
    elif widget_kind == DYNAMIC_COMBO:
        branches = dict(_branches(name, options, depth))
        yield Widget(name, widget_kind, options, tuple(branches), branches)
    else:
        choices = None
        if widget_kind == "COMBO":
            is_list = isinstance(kind, list | tuple)
            choices = tuple(kind if is_list else as_list(options.get("options")))
        widget = Widget(name, widget_kind, options, choices)
        yield widget
        yield from _added(widget, inner=depth > 0)


def brought_by(slot: Widget, value: Any) -> tuple[Widget, ...]:
    """The inputs that a widget brings along with this value; they follow it."""
    if slot.kind == DYNAMIC_GROUP:
        most = min(number(slot.options.get("max")) or MAX_GROWN, MAX_GROWN)
        rows = min(max(number(value), number(slot.options.get("min"))), most)
        template = {"input": slot.options.get("template")}
        return tuple(
            inner
            for row in range(rows)
            for name, kind, options in node_inputs(template)
            for inner in _slots(f"{slot.name}.{row}.{name}", kind, options, depth=1)
        )
    return slot.branches.get(value, ()) if isinstance(value, str) else ()


def _branches(
    name: str, options: Mapping[str, Any], depth: int
) -> Iterator[tuple[str, tuple[Widget, ...]]]:
    """The choices of a dynamic combo, and the inputs of each: `name.input`."""
    for option in as_list(options.get("options")):
        key, inputs = as_dict(option).get("key"), {"input": as_dict(option).get("inputs")}
        if isinstance(key, str) and depth < MAX_DEPTH:
            slots = (
                slot
                for inner, kind, inner_options in node_inputs(inputs)
                for slot in _slots(f"{name}.{inner}", kind, inner_options, depth=depth + 1)
            )
            yield key, tuple(slots)


def _grown(name: str, options: Mapping[str, Any], depth: int) -> Iterator[Widget]:
    """The widgets that an autogrow input has from the start, if what it grows are widgets."""
    template = as_dict(options.get("template"))
    names = [text for text in as_list(template.get("names")) if isinstance(text, str)]
    count = min(number(template.get("min")) + 1, len(names) or MAX_GROWN)
    prefix = template.get("prefix")
    names = names or [f"{prefix}{index}" for index in range(count)]
    for _, kind, inner_options in node_inputs(template):
        if _widget_kind(kind, inner_options) is not None:
            for grown in names[:count]:
                yield from _slots(f"{name}.{grown}", kind, inner_options, depth=depth + 1)


def _added(widget: Widget, *, inner: bool) -> Iterator[Widget]:
    """The places the editor adds after a widget."""
    if widget.kind == "BOUNDING_BOX":
        yield from (Widget(f"{widget.name}.{part}", PART) for part in BOX_PARTS)
    seed = widget.kind == "INT" and widget.name in SEED_NAMES and not inner
    if widget.options.get("control_after_generate") or seed:
        yield Widget("control_after_generate", CONTROL)
        if widget.kind == "COMBO":
            yield Widget("control_filter_list", CONTROL_FILTER)
    if remote := as_dict(widget.options.get("remote")):
        yield Widget("auto_refresh", PART)
        if remote.get("refresh_button"):
            yield Widget("refresh", "BUTTON")
    if any(widget.options.get(upload) for upload in UPLOADS):
        yield Widget("upload", UPLOAD)
