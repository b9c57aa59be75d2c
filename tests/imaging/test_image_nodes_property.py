"""Image and mask nodes with widgets as their declarations allow, on small pictures of any shape."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.image_functions import NodeImaging
from graph.errors import ServiceError
from graph.node import Input, NodeType, declared_in
from graph.nodes import image, image_filters, masks
from graph.stages import Stage
from tests.preprocessors.annotator_files import detectors

NODES = {
    name: node_type
    for name, node_type in declared_in(image, image_filters, masks).items()
    if node_type.stage == Stage.IMAGE and not name.startswith("Load")
}
FUNCTIONS = NodeImaging(detectors(Path("nowhere")))
LARGEST = 48  # where a widget goes further: sizes and lengths, to keep the test quick
SIDES = st.sampled_from([1, 2, 5, 24])


@st.composite
def pictures(draw: st.DrawFn, channels: tuple[int, ...]) -> torch.Tensor:
    shape = draw(st.integers(1, 3)), draw(SIDES), draw(SIDES), *channels
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    return torch.rand(shape, generator=generator)


def values(declared: Input) -> st.SearchStrategy[Any]:
    if declared.choices:
        return st.sampled_from(declared.choices)
    if declared.type == "IMAGE":
        return st.sampled_from([3, 4]).flatmap(lambda channels: pictures((channels,)))
    if declared.type == "MASK":
        return pictures(())
    if declared.type == "BOOLEAN":
        return st.booleans()
    low, high = declared.widget.min or 0, declared.widget.max or 1
    if declared.type == "FLOAT":
        return st.floats(low, min(high, LARGEST))
    return st.integers(int(max(low, -LARGEST)), int(min(high, LARGEST)))


@st.composite
def calls(draw: st.DrawFn) -> tuple[NodeType, dict[str, Any]]:
    node_type = NODES[draw(st.sampled_from(sorted(NODES)))]
    given_ = {
        name: draw(values(declared))
        for name, declared in node_type.inputs.items()
        if declared.required or draw(st.booleans())
    }
    if node_type.input_is_list:
        given_ = {name: [value] for name, value in given_.items()}
    return node_type, given_


@given(calls())
@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_nodes_answer_or_say_why_not(call: tuple[NodeType, dict[str, Any]]) -> None:
    node_type, given_ = call
    with suppress(ServiceError):
        node_type.function(FUNCTIONS, **given_)
