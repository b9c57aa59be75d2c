"""The served stages in this process, for evaluations and tests: no Ray, no HTTP.

Workflows are read, checked, planned and run by the same code as in the application; values that
leave a stage stay in memory instead of Ray's object store.
"""

import asyncio
import hashlib
import pickle
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from demo.client import encoded
from demo.drawing import Picture
from deployments.clients import JobStages, JobWork, StageClients
from deployments.config import AppConfig
from deployments.local_stages import LocalStages
from deployments.site import Site
from deployments.transport import Shelf, Small, nbytes, to_arrays
from graph.cache import Handle, ResultCache
from graph.events import StepEvent
from graph.execution import Execution
from graph.folding import fold
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.object_info import ObjectInfo
from graph.plan import Segment
from graph.prompt import Source
from graph.stages import Stage
from graph.validation import Library, Uploads, validate
from graph.values import InputFile, ModelFile
from graph.workflow import read_workflow
from storage.models.library import ModelLibrary

OWNER = "local"
CACHE_BYTES = 2**28
Document = Mapping[str, Any]


class Memory(Shelf):
    """Keeps every value beside its handle."""

    def store(self, value: Any) -> Handle:
        arrays = to_arrays(value)
        return Handle(Small(pickle.dumps(arrays, protocol=5)), nbytes(arrays))


class Fused(LocalStages):
    """All tensor stages."""

    def __init__(self, site: Site, config: AppConfig) -> None:
        super().__init__(site, config)
        self.segments = replace(self.segments, shelf=Memory())  # it would else go to Ray


@dataclass(frozen=True)
class Files(Library):
    """The models there are, and the pictures that were given."""

    library: ModelLibrary
    given: Mapping[str, bytes]

    def models(self, folder: str) -> list[str]:
        return list(self.library.list_for(OWNER, folder))

    def uploads(self, kind: str) -> list[str]:  # noqa: ARG002 - pictures are all there is
        return list(self.given)

    def find(self, folder: str, name: str) -> ModelFile:
        return self.library.find_for(OWNER, folder, name)


@dataclass
class Saved:
    """What an output node talks to."""

    pictures: list[Picture] = field(default_factory=list)

    async def save_images(
        self,
        images: Any,
        filename_prefix: str,  # noqa: ARG002 - nothing is written
        *,
        temporary: bool = False,  # noqa: ARG002
    ) -> None:
        self.pictures += list((np.asarray(images) * 255).astype(np.uint8))


@dataclass(frozen=True)
class FusedClient:
    """A client of all tensor stages."""

    stages: Fused
    idle: int = 0

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        async for event in self.stages.segments.run(segment, inputs):
            yield event

    async def metrics(self) -> tuple[Any, ...]:
        return await self.stages.metrics()


class InProcess:
    """Draws workflows, as `demo.client.Service` does. Safe to use from several threads."""

    def __init__(
        self, library: ModelLibrary, loop: asyncio.AbstractEventLoop, stages: Fused
    ) -> None:
        self._library = library
        self._loop = loop
        self._node_types: Mapping[str, NodeType] = load_node_types()
        tensor_stages = (Stage.ENCODE, Stage.IMAGE, Stage.SAMPLE, Stage.UPSCALE)
        self._clients = StageClients(dict.fromkeys(tensor_stages, FusedClient(stages)))
        self._cache = ResultCache(CACHE_BYTES)
        self._given: dict[str, bytes] = {}

    def upload(self, picture: Picture, name: str) -> str:
        """Put a picture where LoadImage finds it; its name there."""
        self._given[name] = encoded(picture)
        return name

    def draw(self, workflow: Document) -> list[Picture]:
        """The pictures that a workflow saves. Raises ServiceError."""
        return asyncio.run_coroutine_threadsafe(self._draw(workflow), self._loop).result()

    async def _draw(self, document: Document) -> list[Picture]:
        files = Files(self._library, self._given)
        workflow = read_workflow(document, ObjectInfo(self._node_types, files))
        checked = validate(workflow, self._node_types, files, self._uploads(workflow.nodes))
        folded = fold(checked, node_types=self._node_types)
        saved = Saved()
        work = JobWork(lambda _node_id: saved)
        stages = JobStages(self._clients, self._node_types, work)
        await Execution(OWNER, folded, stages, self._cache, lambda _event: None).run()
        return saved.pictures

    def _uploads(self, nodes: Mapping[str, Any]) -> Uploads:
        return Uploads(
            {
                (node_id, name): self._file(value)
                for node_id, node in nodes.items()
                if (node_type := self._node_types.get(node.class_type))
                for name, value in node.inputs.items()
                if not isinstance(value, Source)
                if name in node_type.inputs and node_type.inputs[name].upload
            }
        )

    def _file(self, name: str) -> InputFile:
        content = self._given[name]
        return InputFile(name, content, hashlib.sha256(content).hexdigest())


@contextmanager
def in_process(
    models: Path,
    *,
    threads: int = 0,
    config: AppConfig | None = None,
    more_families: tuple[str, ...] = (),
) -> Iterator[InProcess]:
    """The stages over a models folder, warm, on an event loop of their own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    site = Site(
        models.resolve(),
        models.resolve() / "private",
        torch_threads=threads,
        more_families=more_families,
    )

    async def made() -> Fused:
        stages = Fused(site, config or AppConfig())
        await stages.check_health()
        return stages

    try:
        stages = asyncio.run_coroutine_threadsafe(made(), loop).result()
        yield InProcess(site.library(), loop, stages)
    finally:
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_tasks() -> None:
    """Cancel what stages have running for as long as they live."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
