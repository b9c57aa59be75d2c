"""Nodes that no workflow names: others expand to them."""

from typing import Annotated, Any

from graph.node import node
from graph.stages import Stage
from graph.values import Items, Link


@node("comfyray.Items", runs_on=Stage.INLINE, internal=True, list_outputs=(0,))
def items(**values: Any) -> Annotated[Items, Link("*")]:
    """Several values on one link."""
    given = sorted(values.items(), key=lambda named: int(named[0].removeprefix("item")))
    return Items(tuple(value for _, value in given))
