"""The seeds that a job uses, for its answer."""

from graph.checked import CheckedWorkflow
from graph.plan import ExecutionGraph

SEEDS = frozenset({"seed", "noise_seed"})


def used_seeds(checked: CheckedWorkflow, folded: ExecutionGraph) -> dict[str, int]:
    """The seeds that will be used, by node id: written ones and linked ones."""
    linked = {
        node_id: folded.known[link.node_id][link.slot]
        for node_id, node in checked.nodes.items()
        for name, link in node.links.items()
        if name in SEEDS and link.node_id in folded.known
    }
    written = {
        node_id: value
        for node_id, node in checked.nodes.items()
        for name, value in node.constants.items()
        if name in SEEDS
    }
    return written | linked
