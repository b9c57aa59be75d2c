"""Positive and negative prompts, treated alike."""

from typing import Annotated

from graph.node import node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.values import Conditioning, Link

Combined = Annotated[Expansion, Link("CONDITIONING")]


@node(
    "PairConditioningCombine",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Cond Pair Combine",
    category="advanced/hooks/cond pair",
    outputs=("positive", "negative"),
)
def combine_pairs(
    *,
    positive_A: Conditioning,  # noqa: N803 - the names on the wire
    negative_A: Conditioning,  # noqa: N803
    positive_B: Conditioning,  # noqa: N803
    negative_B: Conditioning,  # noqa: N803
) -> tuple[Combined, Combined]:
    """Follow the prompts of two pairs at once."""
    pairs = {"positive": (positive_A, positive_B), "negative": (negative_A, negative_B)}
    nodes = {
        name: Node("ConditioningCombine", {"conditioning_1": first, "conditioning_2": second})
        for name, (first, second) in pairs.items()
    }
    return Expansion(nodes, (Source("positive", 0), Source("negative", 0)))  # type: ignore[return-value]
