"""The answer to a dry run."""

from typing import Any

from graph.plan import Folded, make_plan


def quote(folded: Folded) -> dict[str, Any]:
    """What a run of this would be: its segments, stage by stage."""
    plan = make_plan(folded, lambda _: False)
    return {
        "stages": [
            {"stage": segment.stage, "nodes": [step.told_as for step in segment.steps]}
            for segment in plan.segments
        ],
    }
