"""Checks before a run that its outputs can be saved."""

import os
import re
from pathlib import PurePosixPath

from graph.file_prefix import INPUT, LONGEST_PREFIX, prefix_problem
from graph.plan import ExecutionGraph
from graph.problems import Problem

SAVED = re.compile(r"(.*)_\d{5,}_\.\w+", re.DOTALL)  # a name as files are saved under


def prefix_problems(folded: ExecutionGraph) -> tuple[Problem, ...]:
    """The prefixes with which a job could not save what it has drawn, those that are linked too.

    A folder may not have the name of a file of another node.
    """
    prefixes = {
        node_id: str(prefix)
        for node_id in folded.output_ids
        if (prefix := folded.steps[node_id].constants.get(INPUT)) is not None
    }
    found = {node_id: prefix_problem(prefix) for node_id, prefix in prefixes.items()}
    usable = {i: prefix for i, prefix in prefixes.items() if len(prefix) <= LONGEST_PREFIX}
    saved = {os.path.normpath(prefix) for prefix in usable.values()}
    for node_id, prefix in usable.items():
        folders = PurePosixPath(os.path.normpath(prefix)).parents
        if any((name := SAVED.fullmatch(str(folder))) and name[1] in saved for folder in folders):
            found[node_id] = found[node_id] or "a folder in it has the name of another node's file"
    return tuple(
        Problem(
            "invalid_file_name",
            f"No file can be saved under this prefix: {said}.",
            node_id,
            folded.steps[node_id].class_type,
            INPUT,
            expected="a relative path without ..",
            received=prefixes[node_id],
        )
        for node_id, said in found.items()
        if said
    )
