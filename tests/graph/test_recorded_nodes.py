"""Nodes against what ComfyUI and the packs answered for the same inputs."""

from collections import Counter

import pytest

from graph.errors import ServiceError
from tests.recorded_answers import PACKS, answered, recorded, same


@pytest.mark.parametrize("pack", PACKS)
def test_nodes_answer_as_theirs_do(pack: str) -> None:
    different = [
        (case.node, case.inputs)
        for case in recorded(pack)
        if not case.fails and not all(map(same, answered(case), case.outputs))
    ]
    assert different == []


@pytest.mark.parametrize("pack", PACKS)
def test_what_they_refuse_is_refused_with_a_message(pack: str) -> None:
    for case in recorded(pack):
        if case.fails:
            with pytest.raises(ServiceError) as refused:
                answered(case)
            assert refused.value.status < 500
            assert "Input '" in str(refused.value)


@pytest.mark.parametrize("pack", PACKS)
def test_every_node_is_asked_at_least_three_times(pack: str) -> None:
    assert min(Counter(case.node for case in recorded(pack)).values()) >= 3
