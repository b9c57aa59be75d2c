"""comfy-deploy: external inputs. Callers set them by overrides.

A number may also stand in `input_id`, as comfy-deploy itself puts it there.
"""

import secrets
from typing import Annotated, Any, TypedDict, Unpack

from graph.node import Default, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.values import Image, Link

CATEGORY = "🔗ComfyDeploy"
LARGEST = 2147483647
MOST_SEED = 999_999_999_999_999
Line = Annotated[str, Widget(multiline=False)]
Lines = Annotated[str, Widget(multiline=True), MayBeAbsent()]
Number = Annotated[float, Widget(min=-LARGEST, max=LARGEST, step=0.01), MayBeAbsent()]
Whole = Annotated[int, Widget(min=-LARGEST, max=LARGEST, step=1), MayBeAbsent()]
Limit = Annotated[int, Widget(min=1, max=MOST_SEED)]
AnyText = Annotated[Any, Link("*")]


class Label(TypedDict):
    display_name: Annotated[Line, MayBeAbsent(), Default("")]
    description: Annotated[Lines, Default("")]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@node(
    "ComfyUIDeployExternalText",
    runs_on=Stage.INLINE,
    display_name="External Text (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("text",),
)
def external_text(
    *,
    input_id: Line = "input_text",  # noqa: ARG001 - a name for callers
    default_value: Lines = "",
    **label: Unpack[Label],  # noqa: ARG001
) -> str:
    """Give a text."""
    return default_value


@node(
    "ComfyUIDeployExternalTextAny",
    runs_on=Stage.INLINE,
    display_name="External Text Any (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("text",),
)
def external_text_any(
    *,
    input_id: Line = "input_text",  # noqa: ARG001
    default_value: Lines = "",
    **label: Unpack[Label],  # noqa: ARG001
) -> AnyText:
    """Give a text, to an input of any type."""
    return default_value


@node(
    "ComfyUIDeployExternalEnum",
    runs_on=Stage.INLINE,
    display_name="External Enum (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("text",),
)
def external_enum(
    *,
    input_id: Line = "input_enum",  # noqa: ARG001
    default_value: Annotated[Line, MayBeAbsent()] = "",
    options: Lines = "",  # noqa: ARG001 - shown to whoever chooses
    **label: Unpack[Label],  # noqa: ARG001
) -> AnyText:
    """Give a choice, to an input of any type."""
    return default_value


@node(
    "ComfyUIDeployExternalBoolean",
    runs_on=Stage.INLINE,
    display_name="External Boolean (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("bool_value",),
)
def external_boolean(
    *,
    input_id: Line = "input_bool",  # noqa: ARG001
    default_value: Annotated[bool, MayBeAbsent()] = False,
    **label: Unpack[Label],  # noqa: ARG001
) -> bool:
    """Give yes or no."""
    return default_value


@node(
    "ComfyUIDeployExternalNumber",
    runs_on=Stage.INLINE,
    display_name="External Number (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("value",),
)
def external_number(
    *,
    input_id: Line = "input_number",
    default_value: Number = 0,
    **label: Unpack[Label],  # noqa: ARG001
) -> float:
    """Give a number: what `input_id` says, if that is one."""
    number = _number(input_id)
    return default_value if number is None else number


@node(
    "ComfyUIDeployExternalNumberInt",
    runs_on=Stage.INLINE,
    display_name="External Number Int (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("value",),
)
def external_whole(
    *,
    input_id: Line = "input_number",
    default_value: Whole = 0,
    **label: Unpack[Label],  # noqa: ARG001
) -> int:
    """Give a whole number: what `input_id` says, if that is digits alone."""
    return int(input_id) if input_id.strip().isdecimal() else default_value


@node(
    "ComfyUIDeployExternalNumberSlider",
    runs_on=Stage.INLINE,
    display_name="External Number Slider (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("value",),
)
def external_slider(
    *,
    input_id: Line = "input_number_slider",
    default_value: Number = 0.5,
    min_value: Number = 0,
    max_value: Number = 1,
    **label: Unpack[Label],  # noqa: ARG001
) -> float:
    """Give a number: what `input_id` says, if that is one within the limits."""
    number = _number(input_id)
    return number if number is not None and min_value <= number <= max_value else default_value


@node(
    "ComfyUIDeployExternalNumberSliderInt",
    runs_on=Stage.INLINE,
    display_name="External Number Slider Int (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("value",),
)
def external_whole_slider(
    *,
    input_id: Line = "input_number_slider_int",
    default_value: Whole = 1,
    min_value: Whole = 0,
    max_value: Whole = 10,
    **label: Unpack[Label],  # noqa: ARG001
) -> int:
    """Give a whole number: what `input_id` says rounded, if that is within the limits."""
    number = _number(input_id)
    if number is None or not min_value <= number <= max_value:  # infinite ones are outside too
        return default_value
    return round(number)


@node(
    "ComfyUIDeployExternalSeed",
    runs_on=Stage.INLINE,
    display_name="External Seed (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("seed",),
)
def external_seed(
    *,
    input_id: Line = "input_seed",  # noqa: ARG001
    default_value: int = -1,
    min_value: Limit = 1,
    max_value: Limit = 4294967295,
    **label: Unpack[Label],  # noqa: ARG001
) -> int:
    """Give a seed; a random one within the limits, if it is outside them."""
    least, most = sorted((min_value, max_value))
    if least <= default_value <= most:
        return default_value
    return least + secrets.randbelow(most - least + 1)


@node(
    "ComfyUIDeployExternalImage",
    runs_on=Stage.INLINE,
    display_name="External Image (ComfyUI Deploy)",
    category=CATEGORY,
    outputs=("image",),
)
def external_image(
    *,
    input_id: Line = "input_image",  # noqa: ARG001
    default_value: Image | None = None,
    default_value_url: Annotated[str, MayBeAbsent()] = "",  # noqa: ARG001
    **label: Unpack[Label],  # noqa: ARG001
) -> Image:
    """Pass a picture on: the one that a caller puts into its loader."""
    return default_value
