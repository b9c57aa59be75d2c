"""Impact Pack: switches, comparisons and constants.

A switch that is told before anything runs is the link that it chooses; nothing else is computed.
"""

import operator
import re
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict

from graph.input_hints import Numbered
from graph.node import RawLink, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.values import Image, Link, Mask

LOGIC, UTIL = "ImpactPack/Logic", "ImpactPack/Util"
CHOOSE = "comfyray.Choose"
MOST_INPUTS = 100  # of a switch that is told while the workflow runs
FORCED = Widget(forceInput=True)
LARGEST_FLOAT = 3.402823466e38
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
Anything = Annotated[Any, Link("*")]
Maybe = Annotated[Any | None, Link("*")]
Made = Annotated[Expansion, Link("*")]
Select = Annotated[int, Widget(min=1, max=999999, step=1)]
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "a = b": operator.eq,
        "a <> b": operator.ne,
        "a > b": operator.gt,
        "a < b": operator.lt,
        "a >= b": operator.ge,
        "a <= b": operator.le,
        "tt": lambda _a, _b: True,
        "ff": lambda _a, _b: False,
    }
)


class Linked(TypedDict):
    input: Annotated[Any | None, Link("*"), RawLink()]


@node(
    CHOOSE,
    runs_on=Stage.INLINE,
    expands=True,
    internal=True,
    outputs=("*", "STRING", "INT"),
    numbered=Numbered(Linked, MOST_INPUTS),
)
def choose(*, select: int, **inputs: Any) -> tuple[Made, str, int]:
    """Pass on one of the links; nothing else runs for it."""
    chosen = inputs.get(f"input_{select}")
    label = "" if chosen is None else f"input{select}"
    return Expansion({}, (chosen, label, select))  # type: ignore[return-value]


def _switched(select: Any, inputs: Mapping[str, Any], count: int) -> Any:
    """What a switch gives: `count` of the value, its name and its number."""
    if isinstance(select, Source):
        named = {f"input_{name.removeprefix('input')}": value for name, value in inputs.items()}
        outputs = tuple(Source("chosen", slot) for slot in range(count))
        return Expansion({"chosen": Node(CHOOSE, {"select": select, **named})}, outputs)
    name = f"input{select}"
    chosen = inputs.get(name)
    return Expansion({}, (chosen, "" if chosen is None else name, select)[:count])


@node(
    "ImpactSwitch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Switch (Any)",
    category=UTIL,
    outputs=("selected_value", "selected_label", "selected_index"),
)
@node(
    "LatentSwitch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Switch (latent/legacy)",
    category=UTIL,
    outputs=("selected_value", "selected_label", "selected_index"),
)
@node(
    "SEGSSwitch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Switch (SEGS/legacy)",
    category=UTIL,
    outputs=("selected_value", "selected_label", "selected_index"),
)
def switch(
    *,
    select: Select = 1,
    sel_mode: bool = False,  # noqa: ARG001 - what is known before is chosen before
    **others: Any,
) -> tuple[Made, Annotated[Expansion, Link("STRING")], Annotated[Expansion, Link("INT")]]:
    """Pass on the input of that number: `input1`, `input2` ..."""
    return _switched(select, others, 3)  # type: ignore[no-any-return]


@node(
    "ImageMaskSwitch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Switch (images, mask)",
    category=UTIL,
)
def switch_images(
    *,
    select: Annotated[int, Widget(min=1, max=4, step=1)] = 1,
    images1: Image,
    mask1_opt: Mask | None = None,
    images2_opt: Image | None = None,
    mask2_opt: Mask | None = None,
    images3_opt: Image | None = None,
    mask3_opt: Mask | None = None,
    images4_opt: Image | None = None,
    mask4_opt: Mask | None = None,
) -> tuple[Annotated[Expansion, Link("IMAGE")], Annotated[Expansion, Link("MASK")]]:
    """Pass on pictures and their mask, of up to four."""
    images = images1, images2_opt, images3_opt, images4_opt
    masks = mask1_opt, mask2_opt, mask3_opt, mask4_opt
    if not isinstance(select, Source):
        return Expansion({}, (images[select - 1], masks[select - 1]))  # type: ignore[return-value]
    nodes = {
        name: Node(CHOOSE, {"select": select, **{f"input_{k}": it for k, it in enumerate(of, 1)}})
        for name, of in (("images", images), ("masks", masks))
    }
    return Expansion(nodes, (Source("images", 0), Source("masks", 0)))  # type: ignore[return-value]


def _branched(cond: Any, on_true: Any, on_false: Any) -> Any:
    if not isinstance(cond, Source):
        return Expansion({}, (on_true if cond else on_false,))
    inputs = {"switch": cond, "on_true": on_true, "on_false": on_false}
    return Expansion({"branch": Node("ComfySwitchNode", inputs)}, (Source("branch", 0),))


@node("ImpactConditionalBranch", runs_on=Stage.INLINE, rewrites=True, category=LOGIC)
def branch(*, cond: bool, tt_value: Anything, ff_value: Anything) -> Made:
    """Pass on one of two values; the other is not computed."""
    return _branched(cond, tt_value, ff_value)  # type: ignore[no-any-return]


@node("ImpactConditionalBranchSelMode", runs_on=Stage.INLINE, rewrites=True, category=LOGIC)
def branch_of_maybe(*, cond: bool, tt_value: Maybe = None, ff_value: Maybe = None) -> Made:
    """Pass on one of two values, of which each may be missing."""
    return _branched(cond, tt_value, ff_value)  # type: ignore[no-any-return]


@node(
    "ImpactIfNone",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=LOGIC,
    outputs=("signal_opt", "bool"),
)
def if_none(
    *, signal: Maybe = None, any_input: Maybe = None
) -> tuple[Made, Annotated[Expansion, Link("BOOLEAN")]]:
    """Pass a signal on, and tell whether the other input is there."""
    return Expansion({}, (signal, any_input is not None))  # type: ignore[return-value]


@node(
    "ImpactExecutionOrderController",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=UTIL,
    outputs=("signal", "value"),
)
def in_order(*, signal: Anything, value: Anything) -> tuple[Made, Made]:
    """Pass both on: a workflow here has no order but that of its links."""
    return Expansion({}, (signal, value))  # type: ignore[return-value]


@node("ImpactCompare", runs_on=Stage.INLINE, category=LOGIC)
def compare(
    *,
    cmp: Literal["a = b", "a <> b", "a > b", "a < b", "a >= b", "a <= b", "tt", "ff"],
    a: Anything,
    b: Anything,
) -> bool:
    """Compare two values."""
    return bool(COMPARISONS[cmp](a, b))


@node("ImpactLogicalOperators", runs_on=Stage.INLINE, category=LOGIC)
def combine(
    *,
    operator: Literal["and", "or", "xor"],
    bool_a: Annotated[bool, FORCED],
    bool_b: Annotated[bool, FORCED],
) -> bool:
    """Combine yes and no."""
    return {"and": bool_a and bool_b, "or": bool_a or bool_b, "xor": bool_a != bool_b}[operator]


@node("ImpactNeg", runs_on=Stage.INLINE, category=LOGIC)
def negate(*, value: Annotated[bool, FORCED]) -> bool:
    """Turn yes to no."""
    return not value


@node("ImpactInt", runs_on=Stage.INLINE, category=LOGIC)
def whole(*, value: Annotated[int, Widget(min=0, max=sys.maxsize, step=1)] = 0) -> int:
    """Give a whole number."""
    return value


@node("ImpactFloat", runs_on=Stage.INLINE, category=LOGIC)
def number(
    *, value: Annotated[float, Widget(min=-LARGEST_FLOAT, max=LARGEST_FLOAT)] = 1.0
) -> float:
    """Give a number."""
    return value


@node("ImpactBoolean", runs_on=Stage.INLINE, category=LOGIC)
def boolean(*, value: bool = False) -> bool:
    """Give yes or no."""
    return value


@node("ImpactConvertDataType", runs_on=Stage.INLINE, category=LOGIC)
def convert(*, value: Anything) -> tuple[str, float, int, bool]:
    """Give a value as text, number, whole number, and yes or no; a text is 0 if it says false."""
    text = str(value)
    number = float(text) if NUMBER.fullmatch(text) else float(text.lower() != "false")
    return text, number, int(number), bool(number)


@node("ImpactMinMax", runs_on=Stage.INLINE, category="ImpactPack/Logic/_for_test")
def extreme(*, mode: bool = True, a: Anything, b: Anything) -> Annotated[Any, Link("INT")]:
    """Give the larger of two values, or the smaller."""
    return max(a, b) if mode else min(a, b)
