"""rgthree-comfy: switches, seeds and what is shown."""

import secrets
from typing import Annotated, Any

from graph.node import Hidden, Widget, node
from graph.nodes.shown_values import as_text, show_pair
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Image, Link

CATEGORY = "rgthree"
LARGEST_SEED = 1125899906842624
DRAWN = frozenset({-1, -2, -3})  # random, and one more or less than the editor's last


@node("Any Switch (rgthree)", runs_on=Stage.INLINE, category=CATEGORY, outputs=("*",))
def any_switch(**others: Any) -> Annotated[Any, Link("*")]:
    """Pass on the first of its inputs `any_01`, `any_02` ... that there is."""
    given = (value for name, value in sorted(others.items()) if name.startswith("any_"))
    return next((value for value in given if value is not None), None)


@node("Seed (rgthree)", runs_on=Stage.INLINE, category=CATEGORY, outputs=("SEED",))
def seed(*, seed: Annotated[int, Widget(min=-LARGEST_SEED, max=LARGEST_SEED)] = 0) -> int:
    """Give a seed; for -1, -2 and -3 a random one, as a server knows no last one."""
    return secrets.randbelow(LARGEST_SEED) + 1 if seed in DRAWN else seed


@node("Display Any (rgthree)", runs_on=Stage.OUTPUT, category=CATEGORY, output_node=True)
async def display_any(
    outputs: OutputFunctions,
    *,
    source: Annotated[Any, Link("*")],
    unique_id: Annotated[str, Hidden.NODE_ID] = "",  # noqa: ARG001 - the editor's
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show a value as text."""
    await outputs.show_text(as_text(source))


@node("Image Comparer (rgthree)", runs_on=Stage.OUTPUT, category=CATEGORY, output_node=True)
async def compare_images(
    outputs: OutputFunctions,
    *,
    image_a: Image | None = None,
    image_b: Image | None = None,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show two pictures, to be compared."""
    await show_pair(outputs, ("rgthree.compare.", image_a), ("rgthree.compare.", image_b))
