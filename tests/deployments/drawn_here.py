"""The service with the real runner, its image and output stages in this process."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.heavy_work import HeavyWork
from api.jobs.service import Limits, Service
from api.json_reading import BodyLimits
from api.metrics.replica_metrics import ReplicaMetrics
from deployments.clients import StageClients
from deployments.config import ModelsConfig, PreprocessorConfig, RouterConfig
from deployments.large_requests.pool import LargeProcesses, ProcessLimits, Sources
from deployments.output_encoder import OutputEncoder
from deployments.pack_types import NodeTypes, PackTypes
from deployments.preprocessor import Preprocessor
from deployments.request_inputs import MOST_BYTES
from deployments.router import large_setup
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stores import open_stores
from graph.cache import Handle, ResultCache
from graph.events import StepEvent
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.plan import Segment
from graph.prompt import Source
from storage.models.annotators import AnnotatorFolder
from storage.models.own_embeddings import OwnEmbeddings

MORE: Mapping[str, NodeType] = MappingProxyType({})


@dataclass
class StagesHere:
    """Both stages as one client; `ran` are the nodes that it was asked to run."""

    segments: SegmentRunner
    idle: int = 1
    ran: list[str] = field(default_factory=list)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        self.ran += [step.node_id for step in segment.steps]
        async for event in self.segments.run(segment, inputs):
            yield event

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        return ()


@dataclass(frozen=True)
class Drawn:
    service: Service
    stages: StagesHere
    app: FastAPI
    client: httpx.AsyncClient


@asynccontextmanager
async def drawn_here(
    folder: Path,
    more_types: Mapping[str, NodeType] = MORE,
    large: ProcessLimits | None = None,
) -> AsyncIterator[Drawn]:
    """A service over files in `folder`, without keys.

    With `large` there are processes for large requests.
    """
    settings = Settings(models_dir=folder / "models", data_dir=folder / "data")
    config = RouterConfig(models=ModelsConfig(min_free_bytes=0))
    stores = open_stores(settings, config)
    types = {**load_node_types(), **more_types}
    site = Site(folder, folder, torch_threads=1)
    parts = (Preprocessor(site, PreprocessorConfig()), OutputEncoder(site))
    places = {stage: place for one in parts for stage, place in one.segments.places.items()}
    stages = StagesHere(replace(parts[0].segments, places=places, node_types=types))
    runner = WorkflowRunner(
        node_types=types,
        comfyui_nodes={},
        folders=stores.models.library,
        checks=stores.models.checks,
        annotators=AnnotatorFolder.of(settings.models_dir, hub=False),
        inputs=stores.inputs,
        clients=StageClients(dict.fromkeys(places, stages)),
        cache=ResultCache(2**20),
    )
    processes = None
    if large:
        embeddings = OwnEmbeddings(stores.models.library, stores.models.store.models)
        packs = PackTypes(NodeTypes(types), {}, {})
        check = stores.fetcher.check
        sources = Sources(stores.inputs, embeddings, check, types, packs, MOST_BYTES)
        setup = large_setup(settings, config, BodyLimits())
        processes = LargeProcesses(setup, HeavyWork(), sources, large)
    service = Service(runner, stores, Limits(), large=processes)
    app = create_app(service)
    await service.open()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as client:
        yield Drawn(service, stages, app, client)
    await service.close()
