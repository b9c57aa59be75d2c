"""Runs nodes of the service for code of a pack: sampling, encoding, decoding, loading LoRAs."""

import inspect
import itertools
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from deployments.clients import StageClients
from deployments.transport import Shelf, load, nbytes
from graph.cache import Handle
from graph.coercion import Refused, coerced
from graph.dynamic_inputs import layout
from graph.errors import NotAvailableError
from graph.events import Done, Progress
from graph.inline_run import reason_of
from graph.node import REQUIRED, Input, NodeType
from graph.plan import Segment, Step
from graph.prompt import Source
from graph.results import as_outputs, item_calls, merged
from graph.segment_run import Report
from graph.segments import base_of
from graph.stages import Stage
from graph.values import Items
from packs.encoding import BadValueError
from packs.travel import Traveller
from packs.wire import Message
from storage.models.library import ModelLibrary


@dataclass(frozen=True)
class StageService:
    """The service's own nodes, one at a time, on its own stages."""

    node_types: Mapping[str, NodeType]
    clients: StageClients
    library: ModelLibrary
    shelf: Shelf = field(default_factory=Shelf)
    _numbers: Any = field(default_factory=itertools.count)

    async def answer(
        self, message: Message, traveller: Traveller, owner: str, node_id: str, report: Report
    ) -> tuple[dict[str, Any], Sequence[memoryview]]:
        """What a node of the service gives to a pack that asked for it."""
        said = message.said
        class_type = said.get("class")
        if not isinstance(class_type, str) or not isinstance(said.get("inputs"), dict):
            raise BadValueError("a question that is none")
        inputs = {
            name: traveller.decode(one, message.buffers) for name, one in said["inputs"].items()
        }
        outputs = await self.run(owner, class_type, inputs, node_id, report)
        encoder = traveller.encoder()
        given = [list(one.values) if isinstance(one, Items) else one for one in outputs]
        return {"outputs": [traveller.encode(encoder, one) for one in given]}, encoder.buffers

    async def run(
        self,
        owner: str,
        class_type: str,
        inputs: Mapping[str, Any],
        node_id: str = "",
        report: Report = lambda _: None,
    ) -> tuple[Any, ...]:
        """The outputs of a node. Raises ServiceError."""
        node_type = self._type(class_type)
        given = {
            name: self._value(owner, node_type.inputs.get(name), value)
            for name, value in self._complete(node_type, inputs).items()
        }
        if node_type.stage == Stage.INLINE:
            return await self._inline(node_type, given)
        return await self._on_stage(owner, node_type, given, node_id, report)

    def _type(self, class_type: str) -> NodeType:
        node_type = self.node_types.get(class_type)
        if node_type is None:
            raise NotAvailableError(class_type, "a node of the service of that name")
        if node_type.output_node or node_type.rewrites or node_type.expands:
            raise NotAvailableError(class_type, "a workflow around it, which a pack has not")
        return node_type

    def _complete(self, node_type: NodeType, inputs: Mapping[str, Any]) -> dict[str, Any]:
        declared = layout(node_type.inputs, inputs).inputs
        found = {n: one.default for n, one in declared.items() if one.default is not REQUIRED}
        found |= {n: value for n, value in inputs.items() if n in declared or node_type.open_links}
        missing = [n for n, one in declared.items() if one.required and n not in found]
        if missing:
            raise BadValueError(f"{node_type.name} needs {', '.join(missing)}")
        return found

    def _value(self, owner: str, declared: Input | None, value: Any) -> Any:
        if declared is None or not isinstance(value, str | int | float | bool):
            return value
        if declared.files and value not in declared.files.also:
            return self.library.find_for(owner, declared.files.folder, str(value))
        if not declared.is_widget or declared.type == "COMBO":
            return value
        try:
            return coerced(declared.type, value)
        except Refused as refused:
            raise BadValueError(f"{declared.name}: {refused}") from refused

    async def _inline(self, node_type: NodeType, given: Mapping[str, Any]) -> tuple[Any, ...]:
        calls, mapped = item_calls(node_type, given)
        results = []
        for call in calls:
            nested = layout(node_type.inputs, call).nested(call)
            try:
                returned = node_type.function(**nested)
                returned = await returned if inspect.isawaitable(returned) else returned
            except Exception as error:
                raise BadValueError(reason_of("", node_type, error)) from error
            outcome = as_outputs(node_type, returned)
            if not isinstance(outcome, tuple):
                raise NotAvailableError(node_type.name, "a workflow around it")
            results.append(outcome)
        return merged(len(node_type.outputs), results, mapped=mapped)

    async def _on_stage(
        self, owner: str, node_type: NodeType, given: Mapping[str, Any], node_id: str,
        report: Report,
    ) -> tuple[Any, ...]:  # fmt: skip
        large = {name: value for name, value in given.items() if nbytes(value)}
        links = {name: Source(f"given {name}", 0) for name in large}
        handles = {link: self.shelf.store(large[name]) for name, link in links.items()}
        constants = {name: value for name, value in given.items() if name not in large}
        own = f"for a pack {next(self._numbers)}"
        step = Step(own, node_type.name, constants, links, own)
        segment = Segment(node_type.stage, (step,), frozenset({own}), base_of(step), owner=owner)
        outputs: tuple[Handle, ...] = ()
        async with aclosing(self.clients.of(segment).run(segment, handles)) as events:
            async for event in events:
                if isinstance(event, Progress):
                    report(Progress(node_id, event.step, event.of, event.preview))
                elif isinstance(event, Done) and event.outputs is not None:
                    outputs = event.outputs
        return tuple([await load(handle, lambda value: value) for handle in outputs])
