"""Optional hooks of node types: lazy inputs, change detection, validation.

They are ComfyUI's check_lazy_status, IS_CHANGED and VALIDATE_INPUTS. A hook may be a coroutine
function, so that it may ask the process that has the node's code.
"""

import asyncio
import inspect
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from graph.problems import Problem

if TYPE_CHECKING:
    from graph.checked import CheckedWorkflow
    from graph.node import NodeType

LOG = logging.getLogger(__name__)
Inputs: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Hooks:
    """The hooks of a node type; None where it has none.

    `lazy` says which inputs it needs, of those that are None as they were not computed yet.
    `changed` gives something that differs when the node has to run again, though its inputs are the
    same; NaN is always different. `validate` gives True, or what is wrong, for constants and for
    the types of links; the inputs in `validates` are then checked by it alone. Linked inputs are
    None in both.
    """

    lazy: Callable[[Inputs], Any | Awaitable[Any]] | None = None
    changed: Callable[[Inputs], Any | Awaitable[Any]] | None = None
    validate: Callable[[Inputs, Mapping[str, str]], Any | Awaitable[Any]] | None = None
    validates: frozenset[str] = frozenset()


NO_HOOKS = Hooks()


async def answer(given: Any) -> Any:
    """What a hook gives, awaited where it has to be."""
    return await given if inspect.isawaitable(given) else given


@dataclass(frozen=True)
class Answers:
    """What the hooks of a workflow's nodes say before it runs."""

    fingerprints: Mapping[str, Any] = field(default_factory=dict)  # by node id
    problems: tuple[Problem, ...] = ()


async def ask(checked: "CheckedWorkflow") -> Answers:
    """What the hooks of all nodes say."""
    nodes = checked.nodes.items()
    constants = {
        name: (node.node_type, {**dict.fromkeys(node.links), **node.constants})
        for name, node in nodes
    }
    types = {name: (*one, checked.link_types(name)) for name, one in constants.items()}
    return Answers(await fingerprints(constants), await verdicts(types))


async def fingerprints(
    nodes: Mapping[str, tuple["NodeType", Inputs]],
) -> dict[str, Any]:
    """What `changed` says of each node that has it, by node id. An error is as good as NaN."""

    async def ask(node_id: str, node_type: "NodeType", constants: Inputs) -> Any:
        assert node_type.hooks.changed
        try:
            said = await answer(node_type.hooks.changed(constants))
        except Exception as error:  # noqa: BLE001 - a pack's code; ComfyUI goes on too
            LOG.warning("node %s (%s): IS_CHANGED failed: %s", node_id, node_type.name, error)
            said = math.nan
        return secrets.token_hex() if isinstance(said, float) and math.isnan(said) else said

    asked = {name: one for name, one in nodes.items() if one[0].hooks.changed}
    said = await asyncio.gather(*(ask(name, *one) for name, one in asked.items()))
    return dict(zip(asked, said, strict=True))


async def verdicts(
    nodes: Mapping[str, tuple["NodeType", Inputs, Mapping[str, str]]],
) -> tuple[Problem, ...]:
    """What `validate` finds wrong, for nodes with their constants and the types of their links."""

    async def ask(
        node_id: str, node_type: "NodeType", constants: Inputs, types: Mapping[str, str]
    ) -> Problem | None:
        assert node_type.hooks.validate
        try:
            said = await answer(node_type.hooks.validate(constants, types))
        except Exception as error:  # noqa: BLE001 - a pack's code
            said = f"{type(error).__name__}: {error}"
        if said is True:
            return None
        reason = said if isinstance(said, str) else "The node refuses its inputs."
        return Problem("custom_validation_failed", reason, node_id, node_type.name)

    asked = {name: one for name, one in nodes.items() if one[0].hooks.validate}
    found = await asyncio.gather(*(ask(name, *one) for name, one in asked.items()))
    return tuple(problem for problem in found if problem)
