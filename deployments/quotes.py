"""The answer to a dry run."""

from typing import Any

from graph.plan import ExecutionGraph, make_plan


def quote(folded: ExecutionGraph) -> dict[str, Any]:
    """What a run of this would be: its segments, stage by stage."""
    plan = make_plan(folded, lambda _: False)
    return {
        "stages": [
            {"stage": segment.stage, "nodes": [step.reported_id for step in segment.steps]}
            for segment in plan.segments
        ],
    }
