"""The ingress deployment: HTTP, job planning and execution. It imports no torch."""

import asyncio
import gc
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from api.app import create_app
from api.comfyui.client_socket import SocketLimits
from api.errors import error_body, known, unexpected
from api.heavy_work import HeavyWork
from api.hosted.options import HostedOptions
from api.jobs.ended_log import write_job_lines
from api.jobs.service import Limits, Service
from api.json_reading import BodyLimits
from api.keys.access import LOCAL, Access, Caller, LocalAccess
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from api.keys.sessions import Sessions
from api.metrics.service_metrics import ServiceMetrics
from api.slow_senders import BodyPace
from deployments.clients import (
    DeploymentClient,
    HubClient,
    PackClient,
    ReplicasClient,
    StageClients,
)
from deployments.config import RouterConfig
from deployments.free_memory import give_back_memory
from deployments.large_requests.pool import LargeProcesses, ProcessLimits, Sources
from deployments.large_requests.setup import Setup
from deployments.loopback import listen_where_ray_does
from deployments.paced_bodies import pace_replica
from deployments.pack_routes import PackRoutes
from deployments.pack_types import NodeTypes, PackTypes
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.stage_calls import StageCalls
from deployments.stores import open_stores
from deployments.watches import JobWatch, no_watch
from graph.cache import ResultCache
from graph.comfyui_nodes import load_comfyui_nodes
from graph.logs import set_up_logs
from graph.nodes import load_node_types
from graph.stages import PACK, Stage
from storage.database import Database
from storage.jobs.records import QueueLimits
from storage.keys import Keys
from storage.models.annotators import AnnotatorFolder
from storage.models.own_embeddings import OwnEmbeddings
from storage.private_folder import write_privately
from storage.signing import load_key

# How long a thread that computes keeps the interpreter while the event loop waits for it. Python's
# own 5 ms are waited for at each of the dozens of turns that one small job takes.
SWITCH_S = 0.0005


class Router:
    """Answers requests, and runs jobs: those it accepted, and those of replicas that are gone."""

    def __init__(
        self,
        settings: Settings,
        config: RouterConfig,
        stages: Mapping[Stage, DeploymentHandle[Any]],
        pinned: Mapping[str, DeploymentHandle[Any]],
        samplers: Mapping[str, int],
        *,
        packs: Mapping[str, tuple[DeploymentHandle[Any], float]] = MappingProxyType({}),
        hub: DeploymentHandle[Any] | None = None,
    ) -> None:
        """`samplers` says how many replicas the pinned ones have; "" is those for all others.

        `packs` are custom node packs, with how long their hooks may take. `hub` is there where
        there are several routers.
        """
        set_up_logs(settings.log)
        if settings.job_log:
            write_job_lines(settings.job_log)
        write_privately()
        listen_where_ray_does()
        pace_replica()
        stores = open_stores(settings, config)
        metrics = ServiceMetrics()
        sampling = stages[Stage.SAMPLE].deployment_name
        by_name = {handle.deployment_name: DeploymentClient(handle) for handle in stages.values()}
        by_name[sampling] = DeploymentClient(
            stages[Stage.SAMPLE], by_base=samplers[""] > 1, replicas=samplers[""]
        )
        callers = {name: PackClient(handle) for name, (handle, _) in packs.items()}
        of_packs: dict[Stage, ReplicasClient] = {
            Stage(PACK + name): client for name, client in callers.items()
        }
        clients = StageClients(
            of_packs | {s: by_name[handle.deployment_name] for s, handle in stages.items()},
            {
                base: DeploymentClient(handle, replicas=samplers[base])
                for base, handle in pinned.items()
            },
        )
        cache = ResultCache(config.result_cache_bytes)
        metrics.watch_cache(cache)
        metrics.ask(clients.metrics)
        heavy = HeavyWork()
        node_types = NodeTypes(load_node_types())
        self._packs = PackTypes(node_types, callers, {name: s for name, (_, s) in packs.items()})
        self._packs.watch()
        self._pack_routes = PackRoutes(self._packs, callers) if callers else None
        self._trimming = asyncio.create_task(give_back_memory())
        embeddings = OwnEmbeddings(stores.models.library, stores.models.store.models)
        runner = WorkflowRunner(
            heavy=heavy,
            node_types=node_types,
            comfyui_nodes=load_comfyui_nodes(),
            folders=stores.models.library,
            checks=stores.models.checks,
            annotators=AnnotatorFolder.of(settings.models_dir, hub=settings.hub == "on"),
            inputs=stores.inputs,
            clients=clients,
            cache=cache,
            own_embeddings=embeddings,
            most_expanded=config.max_expanded_nodes,
            most_input_bytes=config.max_input_bytes,
            watches=(StageCalls(metrics.registry).watch,),
            watch_job=job_watch(settings.otlp_endpoint),
        )
        limits = Limits(
            running=config.max_running_jobs,
            queue=QueueLimits(config.max_queued_jobs, config.max_queued_jobs_per_owner),
            deadline_s=config.job_timeout_s,
            lease_s=config.job_lease_s,
            keep_prompts=settings.keep_prompts == "on",
            retention_s=config.retention_s,
            webhook_delays_s=config.webhook_delays_s,
        )
        self._body_limits = BodyLimits(
            config.max_body_bytes,
            config.max_body_values,
            config.max_body_nesting,
            config.max_bodies_bytes,
        )
        large = LargeProcesses(
            large_setup(settings, config, self._body_limits),
            heavy,
            Sources(
                stores.inputs,
                embeddings,
                stores.fetcher.check,
                node_types,
                self._packs,
                config.max_input_bytes,
            ),
            ProcessLimits(config.large_body_bytes, config.large_body_processes),
        )
        events = None if hub is None else HubClient(hub)
        self._service = Service(runner, stores, limits, metrics, hub=events, large=large)
        self._access = access(settings, config, stores.database)
        self._heavy = heavy
        self._pace = BodyPace(config.body_first_s, config.body_least_bytes_per_s)
        self._sockets = SocketLimits(config.max_sockets, config.max_sockets_per_owner)
        self._public_url = settings.public_url.rstrip("/")
        origins = (origin.strip().lower() for origin in settings.cors_origins.split(","))
        self._cors_origins = frozenset(filter(None, origins))
        self._hosted = HostedOptions(**config.hosted.model_dump())
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()  # node types stay: looking at them again takes longer than most requests

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(
            self._service,
            self._access,
            body_limits=self._body_limits,
            heavy=self._heavy,
            hosted=self._hosted,
            public_url=self._public_url,
            cors_origins=self._cors_origins,
            pace=self._pace,
            sockets=self._sockets,
            packs=self._pack_routes,
        )

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises. It is ready once it knows the packs."""
        await self._packs.first()
        self._service.check()

    async def execute(self, body: Mapping[str, Any], owner: str = LOCAL) -> dict[str, Any]:
        """What POST /api/v7/comfyui/execute answers, for callers with a Ray handle.

        They are trusted: the job is whose they say it is, and no key pays for it.
        """
        try:
            return await self._service.execute(Caller(owner), body)
        except Exception as error:  # noqa: BLE001 - a caller by handle gets an answer, as one by HTTP does
            return error_body(known(error) or unexpected(error))


def large_setup(settings: Settings, config: RouterConfig, limits: BodyLimits) -> Setup:
    """What a process for large requests is told of this service."""
    return Setup(
        settings.models_dir.resolve(),
        settings.private_models_dir,
        settings.extra_model_paths,
        config.models.families,
        config.models.header_limits,
        limits,
        config.max_expanded_nodes,
        settings.hub == "on",
    )


def job_watch(otlp_endpoint: str | None) -> JobWatch:
    """Traces, where they are wanted: what writes them is not even imported otherwise."""
    if otlp_endpoint is None:
        return no_watch
    from deployments.traces import open_traces  # noqa: PLC0415

    return open_traces(otlp_endpoint).job


def access(settings: Settings, config: RouterConfig, database: Database) -> Access:
    """Keys where they are asked for; otherwise everything is one owner's."""
    if settings.auth == "off":
        return LocalAccess()
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return KeyAccess(
        Keys(database),
        Rates(redis_url),
        reading_rate=config.reading_rate,
        stranger_rate=config.stranger_rate,
        sessions=Sessions(load_key(settings.data_dir / "session_key")),
    )
