"""Runs INLINE nodes, which compute only descriptions, during planning."""

import logging
from collections.abc import Mapping
from typing import Any

from graph.dynamic_inputs import layout
from graph.errors import ServiceError
from graph.made_values import MadeValues
from graph.node import NodeType
from graph.plain_reasons import plain_reason
from graph.results import Expansion, Outcome, as_outputs, blocked, item_calls

LOG = logging.getLogger(__name__)


def run_inline(
    node_type: NodeType, inputs: Mapping[str, Any], made: MadeValues
) -> tuple[tuple[Outcome, ...], bool]:
    """What the calls of a node that computes only descriptions give; see `item_calls`."""
    calls, mapped = item_calls(node_type, inputs)
    results: list[Outcome] = []
    for given in calls:
        if block := blocked(given, lists=node_type.input_is_list):
            results.append((block,) * len(node_type.outputs))
            continue
        nested = layout(node_type.inputs, given).nested(given)
        results.append(as_outputs(node_type, node_type.function(**nested)))
    for result in results:
        if not isinstance(result, Expansion):
            made.count(result)
    return tuple(results), mapped


def reason_of(node_id: str, node_type: NodeType, error: Exception) -> str:
    """What a caller is told of an error; what only its author understands is logged too."""
    if isinstance(error, ServiceError):
        return str(error)
    LOG.error("node %s (%s) failed", node_id, node_type.name, exc_info=error)
    return f"{plain_reason(error)}."
