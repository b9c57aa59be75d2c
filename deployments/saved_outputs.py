"""Finds output nodes that need not run: an earlier job of the owner saved the same."""

from collections.abc import Callable, Mapping

from api.jobs.runner import RunningJob
from graph.plan import ExecutionGraph
from storage.outputs import StoredOutput
from storage.saved_files import SavedFiles


async def saved_before(
    folded: ExecutionGraph, job: RunningJob, known: SavedFiles, is_known: Callable[[str], bool]
) -> Mapping[str, tuple[StoredOutput, ...]]:
    """The files of output nodes that need not run, by node id.

    A node whose result others read has to run where that is not known.
    """
    links = (step.links.values() for step in folded.steps.values())
    read = {link.node_id for some in links for link in some}
    found = {}
    for node_id in folded.output_ids:
        key = folded.steps[node_id].key
        files = known.of((job.owner, key))
        if files and (node_id not in read or is_known(key)) and await job.outputs.has(files):
            found[node_id] = files
    return found


def remember(folded: ExecutionGraph, job: RunningJob, known: SavedFiles) -> None:
    """Keep what output nodes of a job saved for jobs that come."""
    for node_id in folded.output_ids:
        step = folded.steps[node_id]
        if step.reported_id == node_id:
            files = [file for file in job.outputs.saved if file.node_id == node_id]
            known.keep((job.owner, step.key), files, job.id)
