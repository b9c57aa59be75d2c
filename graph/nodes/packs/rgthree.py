"""rgthree-comfy: switches and seeds."""

import secrets
from typing import Annotated, Any

from graph.node import Widget, node
from graph.stages import Stage
from graph.values import Link

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
