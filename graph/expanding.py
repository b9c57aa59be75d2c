"""Adds the graphs that nodes return during a run to what is left to run."""

from graph.cache import Handle
from graph.events import Expanded
from graph.expansions import Shown, grown
from graph.folding import Folding
from graph.hooks import fingerprints
from graph.prompt import Source
from graph.results import Expansion


async def expand(folding: Folding, event: Expanded) -> None:
    """Put the graphs of a node in its place.

    Raises:
        NodeFailed: a graph cannot be.
    """
    step = folding.steps[event.node_id]
    calls = tuple(
        grown(event.node_id, index, call) if isinstance(call, Expansion) else call
        for index, call in enumerate(event.calls)
    )
    changing = {
        node_id: (
            node_type,
            {
                name: None if isinstance(value, Source | Handle) else value
                for name, value in node.inputs.items()
            },
        )
        for call in calls
        if isinstance(call, Expansion)
        for node_id, node in call.nodes.items()
        if (node_type := folding.node_types.get(node.class_type))
    }
    folding.expand(
        event.node_id,
        folding.node_types[step.class_type],
        calls,
        step.key,
        mapped=event.mapped,
        shown=Shown(step.reported_id, step.reported_class),
        fingerprints=await fingerprints(changing),
    )
