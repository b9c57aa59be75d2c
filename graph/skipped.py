"""Outputs that cannot run while others can: skipped, and listed in the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.dependencies import Edges, reached_from, turned
from graph.problems import MOST_DEPENDENTS, Problem, WorkflowInvalidError
from graph.prompt import Workflow
from graph.shown import LONGEST_MESSAGE, LONGEST_TEXT, fitting, shown_text

REFUSED = frozenset({"url_refused"})  # with such a problem nothing runs, whichever node has it

MOST_REASONS = 4000  # characters of JSON, of one output
MOST_EXPLAINED = 20  # outputs whose reasons are told; the others are named


@dataclass(frozen=True)
class Skipped:
    """An output node that is left out; `pack` is "" where nobody knows it."""

    node_id: str
    class_type: str
    pack: str
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        of = f" of pack {shown_text(self.pack)}" if self.pack else ""
        node = f"{shown_text(self.node_id)} ({shown_text(self.class_type)}{of})"
        return f"Output node {node} was left out: {self.problems[0]}"

    def body(self, *, explained: bool = True) -> dict[str, Any]:
        """The facts, for a caller."""
        problems = self.problems if explained else ()
        return {
            "node_id": shown_text(self.node_id),
            "class_type": shown_text(self.class_type),
            "pack": shown_text(self.pack) or None,
            "message": shown_text(str(self), LONGEST_MESSAGE if explained else LONGEST_TEXT),
            "errors": fitting((problem.body() for problem in problems), MOST_REASONS)[0],
        }


def bodies(skipped: Sequence[Skipped]) -> list[dict[str, Any]]:
    """All that were left out, the first of them with every reason."""
    return [one.body(explained=k < MOST_EXPLAINED) for k, one in enumerate(skipped)]


def sentences(skipped: Sequence[Skipped]) -> list[str]:
    """A warning for each, as long as they are few."""
    said = [shown_text(str(one), LONGEST_MESSAGE) for one in skipped[:MOST_EXPLAINED]]
    more = len(skipped) - len(said)
    return [*said, f"{more} more output nodes were left out."] if more else said


def parted(
    workflow: Workflow,
    outputs: Sequence[str],
    links: Edges,
    problems: Sequence[Problem],
    *,
    strict: bool,
) -> tuple[tuple[str, ...], tuple[Skipped, ...]]:
    """The outputs that can run, and those that need a node that one of `problems` is about.

    Raises:
        WorkflowInvalidError: none can run, or with `strict` not all can, or a problem is one with
            which nothing runs.
    """
    by_node: dict[str, list[Problem]] = {}
    for problem in problems:
        by_node.setdefault(problem.node_id or "", []).append(problem)
    readers = turned(links)
    broken = reached_from(by_node, lambda it: readers.get(it, ()), MOST_DEPENDENTS)
    running = tuple(output for output in outputs if output not in broken)
    refused = workflow.problems or any(problem.code in REFUSED for problem in problems)
    if refused or not running or (strict and broken):
        raise WorkflowInvalidError(tuple(problems))
    return running, tuple(
        _skipped(workflow, output, broken[output], by_node)
        for output in outputs
        if output in broken
    )


def _skipped(
    workflow: Workflow, output: str, nodes: Sequence[str], by_node: Mapping[str, list[Problem]]
) -> Skipped:
    node = workflow.nodes[output]
    problems = [problem for node_id in nodes for problem in by_node[node_id]]
    pack = next((one.pack for one in problems if one.node_id == output and one.pack), "")
    return Skipped(output, node.class_type, pack or node.pack, tuple(problems[:MOST_DEPENDENTS]))
