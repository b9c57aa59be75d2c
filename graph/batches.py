"""Counts the files that a job is expected to save, from its plan."""

from collections.abc import Mapping

from graph.node import NodeType
from graph.plan import ExecutionGraph, Step

PICTURES = frozenset({"IMAGE", "MASK", "LATENT"})  # links that carry batches
SUMS = frozenset({"ImageBatch", "LatentBatch"})
REPEATS = frozenset({"RepeatImageBatch", "RepeatLatentBatch"})  # `amount` times
PARTS = frozenset({"ImageFromBatch", "LatentFromBatch"})  # `length` of them
ONE_FILE = frozenset(  # whatever the batch
    {"SaveAnimatedPNG", "SaveAnimatedWEBP", "SaveVideo", "SaveWEBM", "VHS_VideoCombine"}
)
MOST = 1_000_000


def expected_outputs(folded: ExecutionGraph, node_types: Mapping[str, NodeType]) -> int:
    """The files of all output nodes: at most so many, as far as the plan tells.

    Of some nodes only running tells, such as of a file with several pictures; they count as one.
    """
    pictures: dict[str, int] = {}
    for node_id, step in folded.steps.items():
        inputs = node_types[step.class_type].inputs
        given = [
            pictures.get(link.node_id, 1)
            for name, link in step.links.items()
            if name in inputs and inputs[name].type in PICTURES
        ]
        pictures[node_id] = min(_pictures(step, given), MOST)
    files = (
        1 if folded.steps[node_id].class_type in ONE_FILE else pictures[node_id]
        for node_id in folded.output_ids
    )
    return max(1, min(sum(files), MOST))


def _pictures(step: Step, given: list[int]) -> int:
    """The pictures that a step gives, of the batches that it is given."""
    if not given:  # the frames of a video are pictures, once they are decoded
        return _count(step, "batch_size") * _count(step, "length")
    if step.class_type in SUMS:
        return sum(given)
    if step.class_type in REPEATS:
        return max(given) * _count(step, "amount")
    if step.class_type in PARTS:
        return min(max(given), _count(step, "length"))
    return max(given)


def _count(step: Step, name: str) -> int:
    value = step.constants.get(name)
    return max(1, min(value, MOST)) if isinstance(value, int) else 1
