"""What nodes are called with has what their stage declares, parameter by parameter."""

import inspect
from typing import Any

import pytest

from deployments.encode_functions import NodeEncoding
from deployments.image_functions import NodeImaging
from deployments.output_functions import NodeFiles
from deployments.sample_functions import NodeSampling
from deployments.upscaler import NodeUpscaling
from graph.stages import Stage
from graph.stages.interfaces import INTERFACES

CALLED_WITH = {
    Stage.ENCODE: NodeEncoding,
    Stage.IMAGE: NodeImaging,
    Stage.SAMPLE: NodeSampling,
    Stage.UPSCALE: NodeUpscaling,
    Stage.OUTPUT: NodeFiles,
}
DECLARED = [
    (stage, name)
    for stage, interface in INTERFACES.items()
    for name, member in inspect.getmembers(interface, inspect.isfunction)
    if not name.startswith("_")
]


def parameters(owner: type, name: str) -> list[tuple[str, Any]]:
    bound = isinstance(inspect.getattr_static(owner, name), staticmethod)
    given = list(inspect.signature(getattr(owner, name)).parameters.values())[0 if bound else 1 :]
    return [(p.name, p.kind) for p in given if p.default is inspect.Parameter.empty]


def test_every_stage_is_there() -> None:
    assert CALLED_WITH.keys() == INTERFACES.keys()


@pytest.mark.parametrize(("stage", "name"), DECLARED)
def test_a_function_has_the_parameters_that_its_stage_declares(stage: Stage, name: str) -> None:
    taken = parameters(CALLED_WITH[stage], name)
    declared = parameters(INTERFACES[stage], name)
    assert taken == declared[: len(taken)]
