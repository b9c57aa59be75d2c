"""Numbers computed, converted and chosen."""

import math
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from graph.arithmetic import ExpressionError, Language, evaluate, finite, power, rounded, total
from graph.dynamic_inputs import Growing
from graph.node import Input, Widget, node
from graph.shown import shown_text
from graph.stages import Stage
from graph.values import Link

CATEGORY = "utilities"
LARGEST_SEED = 2**63 - 1
Numbers = Annotated[
    Mapping[str, Any],
    Growing(Input("value", "FLOAT,INT,BOOLEAN"), tuple(string.ascii_lowercase)),
]
Convertible = Annotated[Any, Link("INT,FLOAT,STRING,BOOLEAN")]
BoundingBox = Annotated[Mapping[str, int], Link("BOUNDING_BOX")]
AspectRatio = Literal[
    "1:1 (Square)",
    "2:3 (Portrait Photo)",
    "3:2 (Photo)",
    "3:4 (Portrait Standard)",
    "4:3 (Standard)",
    "9:16 (Portrait Widescreen)",
    "16:9 (Widescreen)",
    "21:9 (Ultrawide)",
]
Offset = Annotated[int, Widget(min=0, max=16384)]
Side = Annotated[int, Widget(min=1, max=16384)]
ARITHMETIC = Language(
    MappingProxyType(
        {
            "sum": total,
            "min": min,
            "max": max,
            "abs": abs,
            "round": rounded,
            "pow": power,
            "sqrt": math.sqrt,
            "ceil": math.ceil,
            "floor": math.floor,
            "log": math.log,
            "log2": math.log2,
            "log10": math.log10,
            "sin": math.sin,
            "cos": math.cos,
            "tan": math.tan,
            "int": int,
            "float": float,
        }
    )
)


@node(
    "ComfyMathExpression",
    runs_on=Stage.INLINE,
    display_name="Math Expression",
    category=CATEGORY,
    outputs=("FLOAT", "INT", "BOOL"),
)
def math_expression(
    *, expression: Annotated[str, Widget(multiline=True)] = "a + b", values: Numbers
) -> tuple[float, int, bool]:
    """Compute an expression of numbers called a, b, c ...; `values` is their list."""
    names = {**values, "values": list(values.values())}
    result = evaluate(expression, names, ARITHMETIC, "expression")
    return finite(result, expression, "expression"), int(result), bool(result)


@node(
    "ComfyNumberConvert",
    runs_on=Stage.INLINE,
    display_name="Convert Number",
    category=CATEGORY,
    outputs=("FLOAT", "INT"),
)
def convert_number(*, value: Convertible) -> tuple[float, int]:
    """Read a number from a text, or give a number or a boolean in both kinds."""
    if not isinstance(value, str):
        return finite(value, str(value), "value"), int(value)
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        raise ExpressionError("value", shown_text(value), "it is not a number") from None
    number = finite(number, value, "value")
    try:
        return number, int(text)
    except ValueError:
        return number, int(number)


@node(
    "ResolutionSelector",
    runs_on=Stage.INLINE,
    display_name="Resolution Selector",
    category=CATEGORY,
    outputs=("width", "height"),
)
def select_resolution(
    *,
    aspect_ratio: AspectRatio = "1:1 (Square)",
    megapixels: Annotated[float, Widget(min=0.1, max=16.0, step=0.1)] = 1.0,
    multiple: Annotated[int, Widget(min=8, max=128, step=4, advanced=True)] = 8,
) -> tuple[int, int]:
    """Give width and height of some proportions and a number of pixels."""
    across, down = (int(part) for part in aspect_ratio.partition(" ")[0].split(":"))
    scale = math.sqrt(megapixels * 2**20 / (across * down))
    width, height = (round(part * scale / multiple) * multiple for part in (across, down))
    return width, height


@node(
    "SeedNode",
    runs_on=Stage.INLINE,
    display_name="Seed",
    category=CATEGORY,
    outputs=("seed",),
)
def seed(
    *, seed: Annotated[int, Widget(min=0, max=LARGEST_SEED, control_after_generate=True)]
) -> int:
    """Give a seed."""
    return seed


@node(
    "PrimitiveBoundingBox",
    runs_on=Stage.INLINE,
    display_name="Bounding Box",
    category="utilities/primitive",
)
def bounding_box(
    *, x: Offset = 0, y: Offset = 0, width: Side = 512, height: Side = 512
) -> BoundingBox:
    """Give a rectangle."""
    return {"x": x, "y": y, "width": width, "height": height}
