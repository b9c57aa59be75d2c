"""Workflows of flow_nodes.py, run in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.cache import Handle, ResultCache
from graph.checked import CheckedWorkflow
from graph.events import StepEvent
from graph.execution import Execution
from graph.folding import fold
from graph.hooks import ask
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.validation import Uploads, validate
from graph.workflow import read_workflow
from tests.graph.flow_nodes import flow_types
from tests.graph.nodes_for_tests import TwoFiles
from tests.graph.run_here import run_here

TYPES = flow_types()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@dataclass
class Stages:
    """All stages, in this process."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    async def record(self, name: str, *values: Any) -> None:
        self.calls.append((name, *values))
        await asyncio.sleep(0)

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        return self

    async def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        self.segments.append(segment)
        return run_here(segment, inputs, TYPES, self)

    def named(self, name: str) -> list[list[Any]]:
        return [values for called, *values in self.calls if called == name]

    @property
    def saved(self) -> list[Any]:
        return [value for (value,) in self.named("Save")]


def checked(document: dict[str, Any]) -> CheckedWorkflow:
    return validate(read_workflow(document, {}), TYPES, TwoFiles(), Uploads())


async def run(
    document: dict[str, Any],
    stages: Stages | None = None,
    cache: ResultCache | None = None,
    **more: Any,
) -> tuple[Stages, list[Any]]:
    """The stages when it has run, and what was told."""
    workflow = checked(document)
    folded = fold(workflow, {}, TYPES, (await ask(workflow)).fingerprints)
    for name, value in more.items():
        setattr(folded.folding, name, value)
    told: list[Any] = []
    stages = stages or Stages()
    cache = ResultCache(10_000) if cache is None else cache
    async with asyncio.timeout(20):
        await Execution("local", folded, stages, cache, told.append).run()
    return stages, told
