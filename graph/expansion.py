"""Nodes that are two steps: what a node needs of another stage is done there, before it."""

from collections.abc import Mapping
from dataclasses import replace

from graph.content_keys import content_key
from graph.node import Hidden
from graph.plan import RESULT_VERSION, Folded, Step
from graph.prompt import Source
from graph.stages import Stage
from graph.validation import CheckedWorkflow

UPSCALING = "ImageUpscaleWithModel"
UPSCALE_MODEL = "upscale_model"
IMAGE = "image"


def expanded(folded: Folded, checked: CheckedWorkflow) -> Folded:
    """`folded` with a step of the upscale stage before every node that is handed its result."""
    steps: dict[str, Step] = {}
    stages = dict(folded.stages)
    first: dict[str, Step] = {}
    for step in folded.steps.values():
        first.setdefault(step.key, step)
    for node_id, step in folded.steps.items():
        hidden = checked.nodes[node_id].node_type.hidden
        name = next((own for own, mark in hidden.items() if mark is Hidden.UPSCALED), None)
        given = step.constants.get(UPSCALE_MODEL) is not None or UPSCALE_MODEL in step.links
        if name is None or not given:
            steps[node_id] = step
            continue
        before = _upscaling(step, folded.steps)
        # A node of the workflow that does just this is the step; it reads nothing that is later.
        before = first.get(before.key, before)
        steps[before.node_id] = before
        stages[before.node_id] = Stage.UPSCALE
        links = {**step.links, name: Source(before.node_id, 0)}
        steps[node_id] = replace(step, links=links)
    return replace(folded, steps=steps, stages=stages)


def _upscaling(step: Step, earlier: Mapping[str, Step]) -> Step:
    """The step that makes a node's picture larger, as if the workflow had a node for it."""
    names = (UPSCALE_MODEL, IMAGE)
    constants = {name: step.constants[name] for name in names if name in step.constants}
    links = {name: step.links[name] for name in names if name in step.links}
    keyed = {name: [earlier[link.node_id].key, link.slot] for name, link in links.items()}
    key = content_key([RESULT_VERSION, UPSCALING, constants, keyed, ()])
    node_id = f"{step.node_id} upscaled"
    return Step(node_id, UPSCALING, constants, links, key, keep=True, part_of=step.node_id)
