"""ComfyUI-Custom-Scripts: sums of numbers and sizes, and texts put together and shown."""

import math
import re
import secrets
from types import MappingProxyType
from typing import Annotated, Any, Literal

from graph.arithmetic import Language, evaluate, finite, rounded
from graph.made_values import check_text
from graph.node import Hidden, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.stages.patterns import Pattern, Patterns
from graph.values import Items, Latent, Link

Operand = Annotated[Any | None, Link("*")]
Part = Annotated[str, Widget(multiline=True, dynamicPrompts=False), MayBeAbsent()]
SIDES = MappingProxyType({"width": (2, 3), "height": (1, 2)})  # axes of images, and of latents
DRAWS = secrets.SystemRandom()


def _side(value: Any, name: str) -> int:
    """The width or height of pictures, or of those that latents stand for."""
    of_image, of_latent = SIDES[name]
    if isinstance(value, Latent):
        return int(value.samples.shape[of_latent]) * 8
    return int(value.shape[of_image])


def _chosen(first: Any, second: Any, *more: Any) -> Any:
    return DRAWS.choice((first, second, *more))


LANGUAGE = Language(
    MappingProxyType(
        {
            "round": rounded,
            "ceil": math.ceil,
            "floor": math.floor,
            "min": min,
            "max": max,
            "sqrt": math.sqrt,
            "int": int,
            "iif": lambda condition, yes, no: yes if condition else no,
            "randomint": DRAWS.randint,
            "randomchoice": _chosen,
        }
    ),
    bits=True,
    parts=_side,
)


@node(
    "MathExpression|pysssss",
    runs_on=Stage.INLINE,
    display_name="Math Expression 🐍",
    category="utils",
)
def math_expression(
    *,
    expression: Annotated[str, Widget(multiline=True, dynamicPrompts=False)],
    a: Operand = None,
    b: Operand = None,
    c: Operand = None,
) -> tuple[int, float]:
    """Compute an expression of a, b and c: numbers, or pictures with `.width` and `.height`."""
    text = expression.replace("\n", " ").replace("\r", "")
    result = evaluate(text, {"a": a, "b": b, "c": c}, LANGUAGE, "expression")
    number = finite(result, text, "expression")
    return int(result), number


@node(
    "StringFunction|pysssss",
    runs_on=Stage.IMAGE,
    display_name="String Function 🐍",
    category="utils",
)
def string_function(
    patterns: Patterns,
    *,
    action: Literal["append", "replace"],
    tidy_tags: Literal["yes", "no"],
    text_a: Part = "",
    text_b: Part = "",
    text_c: Part = "",
) -> str:
    """Join texts, or replace a text or a /pattern/ in one; and tidy its commas."""
    tidy = tidy_tags == "yes"
    if action == "append":
        said = (", " if tidy else "").join(filter(None, (text_a, text_b, text_c)))
    elif text_b.startswith("/") and text_b.endswith("/"):
        said = patterns.replace(text_a, Pattern(text_b[1:-1]), text_c, 0)
    else:
        check_text(len(text_a) + text_a.count(text_b) * len(text_c))
        said = text_a.replace(text_b, text_c)
    if not tidy:
        return said
    return re.sub(r",{2,}", ",", re.sub(r"\s{2,}", " ", said).replace(" ,", ",")).strip()


@node(
    "ShowText|pysssss",
    runs_on=Stage.OUTPUT,
    display_name="Show Text 🐍",
    category="utils",
    output_node=True,
    input_is_list=True,
    list_outputs=(0,),
)
async def show_text(
    outputs: OutputFunctions,
    *,
    text: Annotated[str, Widget(forceInput=True)],
    unique_id: Annotated[str, Hidden.NODE_ID] = "",  # noqa: ARG001 - the editor's
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> Annotated[Items, Link("STRING")]:
    """Show texts, and pass them on."""
    for one in text:  # lists come in as lists
        await outputs.show_text(str(one))
    return Items(tuple(text))
