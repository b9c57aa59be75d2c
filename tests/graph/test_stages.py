"""Nodes call what their stage declares; mypy checks that the objects of deployments/ have it."""

from typing import get_type_hints

import pytest

from graph.node import NodeType
from graph.nodes import load_node_types
from graph.stages import Stage
from graph.stages.interfaces import INTERFACES

CALLING = [known for known in load_node_types().values() if known.stage != Stage.INLINE]


@pytest.mark.parametrize("node_type", CALLING, ids=lambda known: known.name)
def test_a_node_is_called_with_what_its_stage_offers(node_type: NodeType) -> None:
    name, *_ = node_type.function.__code__.co_varnames
    called_with = get_type_hints(node_type.function)[name]
    assert called_with in INTERFACES[node_type.stage].__mro__
