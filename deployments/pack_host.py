"""A custom node pack behind a stage of its own: it runs in processes that this replica starts."""

import asyncio
import hashlib
import json
import logging
import sys
from collections import ChainMap
from collections.abc import AsyncGenerator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.clients import DeploymentClient, StageClients
from deployments.config import PackConfig
from deployments.event_batches import EventBatch, in_batches
from deployments.pack_arrays import array_of, parts_of
from deployments.pack_metrics import PackMetrics
from deployments.pack_node import PackCalls, answered
from deployments.pack_service import StageService
from deployments.pack_types import Described, pack_type
from deployments.site import Site
from deployments.stage import leaving
from deployments.transport import Shelf, load
from graph.cache import Handle
from graph.events import StepEvent
from graph.hooks import Hooks
from graph.logs import set_up_logs
from graph.node import Hidden, NodeType
from graph.nodes import load_node_types
from graph.object_info import ObjectInfo
from graph.plan import Segment, Step
from graph.prompt import Source
from graph.segment_run import Report, run_segment
from graph.stages import PACK, Stage
from packs.allowed import copy_allowed
from packs.confinement.confine import Confinement
from packs.encoding import BadValueError
from packs.errors import PackRefusedError, PackResultError
from packs.pages import PageAnswer, PageRequest, answer_in, listed_routes, listed_scripts
from packs.process import OURS, ROOT, Starting
from packs.processes import PackProcesses, Running
from packs.travel import Traveller
from storage.models.extra_paths import SAME_KIND
from storage.models.library import ModelLibrary

LOG = logging.getLogger(__name__)
NOT_FOUND = 404
ROUTE_IDLE_S = 60.0  # no other owner's process is ended for a route before
STEP = "$step"  # an input that no workflow can name
CALLS: ContextVar[PackCalls] = ContextVar("calls")


@dataclass(frozen=True)
class PackSite:
    """Where packs lie, and where their processes write."""

    folder: Path
    scratch: Path
    strict: bool = True


class PackHost:
    """One pack. Its node types come from it; its code runs in processes of their own."""

    def __init__(
        self,
        name: str,
        config: PackConfig,
        packs: PackSite,
        site: Site,
        stages: Mapping[Stage, DeploymentHandle[Any]],
        *,
        shelf: Shelf | None = None,
    ) -> None:
        set_up_logs(site.log)
        self._name, self._config, self._packs = name, config, packs
        self._core = load_node_types()
        self._described = Described(facts={"state": "starting"})
        self._types: dict[str, NodeType] = {}
        self._shelf = shelf or Shelf()
        clients = {handle.deployment_name: DeploymentClient(handle) for handle in stages.values()}
        self._service = StageService(
            self._core,
            StageClients({s: clients[handle.deployment_name] for s, handle in stages.items()}),
            site.library(),
            self._shelf,
        )
        self._processes = PackProcesses(
            starting_of(name, config, packs, site),
            lambda process: Traveller(name, process, parts_of, array_of),
            shared=config.shared,
            most=config.max_processes,
            copy=lambda scratch: copy_allowed(packs.folder, name, config.hash, scratch),
        )
        self._metrics = PackMetrics(Stage(PACK + name), self._processes)
        self._looking = asyncio.Lock()

    async def describe(self, known: str = "") -> Described:
        """The node types there are now; without them where the caller knows these."""
        async with self._looking:
            await self._look()
        if self._described.version == known:
            return replace(self._described, nodes=())
        return self._described

    async def hook(
        self, do: str, class_type: str, inputs: Mapping[str, Any], types: Mapping[str, str]
    ) -> Any:
        """What VALIDATE_INPUTS or IS_CHANGED says of constants."""
        running = await self._processes.hooks()
        encoder = running.traveller.encoder()
        said = {
            "class": class_type,
            "owner": "",
            "types": dict(types),
            "inputs": {n: running.traveller.encode(encoder, one) for n, one in inputs.items()},
        }
        with self._metrics.call(do):
            message = await running.process.call(
                do, said, encoder.buffers, deadline_s=self._config.hook_s
            )
        given = answered(self._name, message).said
        return given["verdict"] if do == "validate" else given["changed"]

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this pack's nodes."""
        async for batch in in_batches(self._events(segment, inputs)):
            yield batch

    async def _events(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        calls = PackCalls(
            self._name, self._processes, self._service, self._config.call_s, self._config.hook_s,
            segment,
        )  # fmt: skip
        CALLS.set(calls)
        values = await asyncio.gather(*(load(one, lambda it: it) for one in inputs.values()))
        types = ChainMap(self._types, self._core)
        with self._metrics.call("run"):
            work = PackWork(calls)
            loaded = dict(zip(inputs, values, strict=True))
            async for event in run_segment(segment, loaded, types, work):
                yield await leaving(event, self._shelf)

    async def route(self, owner: str, request: PageRequest) -> PageAnswer:
        """What a route of the pack answers to an owner; files of its pages are the same for all."""
        if not self._config.routes:
            raise PackRefusedError(self._name, "its routes are not allowed")
        if request.is_page(self._name):
            page = await self._routed(await self._processes.hooks(), "page", "", request.page())
            if page.status != NOT_FOUND:
                return page
        running = await self._processes.of(owner, least_idle_s=ROUTE_IDLE_S)
        return await self._routed(running, "route", owner, request)

    async def _routed(
        self, running: Running, do: str, owner: str, request: PageRequest
    ) -> PageAnswer:
        said = {**request.said(), "owner": owner}
        body = [memoryview(request.body)] if request.body else []
        with self._metrics.call("route"):
            message = await running.process.call(
                do, said, body, deadline_s=self._config.route_s, stops=True
            )
            try:
                return answer_in(answered(self._name, message))
            except (BadValueError, KeyError, TypeError, ValueError, IndexError) as error:
                raise PackResultError(self._name, f"an answer that is none ({error})") from error

    async def check_health(self) -> None:
        """Ready once the pack is loaded, or refused. Never unhealthy: its processes may be."""
        if self._described.facts["state"] == "starting":
            await self.describe()

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this pack's calls and processes were."""
        return (self._metrics.snapshot(),)

    async def _look(self) -> None:
        """Ask the pack for its node types, which may have changed with the files they list."""
        try:
            running = await self._processes.hooks()
            message = await running.process.call("describe", {}, deadline_s=self._config.describe_s)
            said = answered(self._name, message).said
            self._learn(said, running.process.facts)
        except Exception as error:  # noqa: BLE001 - a pack that does not describe itself
            problem = error.problem if isinstance(error, PackRefusedError) else str(error)
            if self._described.facts.get("problem") != problem:
                LOG.warning("node pack %s: %s", self._name, problem)
            facts = {**self._described.facts, "state": "refused", "problem": problem}
            self._described = replace(self._described, facts=facts)

    def _learn(self, said: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        nodes, refused = [], dict(said.get("undescribed") or {})
        types = {}
        for one in said["nodes"]:
            name = str(one.get("entry", {}).get("name"))
            try:
                types[name] = self._type(one)
                nodes.append(one)
            except Exception as error:  # noqa: BLE001 - what a pack says of itself
                refused[name] = f"{type(error).__name__}: {error}"
        served = (listed_routes(said.get("routes")), listed_scripts(said.get("scripts")))
        routes, scripts = served if self._config.routes else ((), ())
        text = json.dumps([nodes, routes, scripts], sort_keys=True)
        self._types = types
        self._described = Described(
            hashlib.sha256(text.encode()).hexdigest(),
            tuple(nodes),
            routes,
            scripts,
            {
                "state": "loaded",
                "nodes": len(nodes),
                "undescribed": refused,
                "not_confined": list(facts.get("not_confined") or ()),
            },
        )

    def _type(self, one: Mapping[str, Any]) -> NodeType:
        """A node type with its code: calls of the pack's process."""
        known = pack_type(self._name, one)

        async def run(node: NodeOfPack, **inputs: Any) -> Any:
            step = inputs.pop(STEP)
            return await node.run(known, step, inputs)

        async def lazy(inputs: Mapping[str, Any]) -> list[str]:
            return await CALLS.get().lazy(known, inputs)

        hooks = Hooks(lazy=lazy) if one.get("has_lazy") else Hooks()
        return replace(known, function=run, hooks=hooks, hidden={STEP: Hidden.STEP})


class PackWork:
    """What the nodes of a segment are called with."""

    def __init__(self, calls: PackCalls) -> None:
        self._calls = calls

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        del stage, node_id
        return NodeOfPack(self._calls, report)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run a function that blocks: of our nodes that only pass on what packs gave."""
        return await asyncio.to_thread(function)


@dataclass(frozen=True)
class NodeOfPack:
    """The calls of a segment, with where reports of one node go."""

    calls: PackCalls
    report: Report

    async def run(self, node_type: NodeType, step: Step, inputs: Mapping[str, Any]) -> Any:
        return await self.calls.run(node_type, step, inputs, self.report)


@dataclass(frozen=True)
class SharedFiles:
    """The names of the shared model files, for combos of our own node types."""

    library: ModelLibrary

    def models(self, folder: str) -> list[str]:
        return list(self.library.list(folder))

    def uploads(self, kind: str) -> list[str]:
        del kind
        return []


def model_folders(site: Site) -> dict[str, list[str]]:
    """Where the shared model files of each folder lie, in the order of search."""
    extra, own = site.extra_folders, site.models_dir
    there = {path.name for path in own.iterdir() if path.is_dir()} if own.is_dir() else set()
    found: dict[str, list[str]] = {}
    for name in sorted(there | extra.before.keys() | extra.after.keys()):
        kind = SAME_KIND.get(name, name)
        paths = (*extra.before.get(name, ()), own / name, *extra.after.get(name, ()))
        found.setdefault(kind, []).extend(str(path) for path in paths)
    return found


def starting_of(name: str, config: PackConfig, packs: PackSite, site: Site) -> Starting:
    """How the processes of a pack are started, but for a folder of their own to write in."""
    folder, models = (packs.folder / name).resolve(), model_folders(site)
    readable = {str(ROOT / one) for one in OURS} | {str(site.models_dir)}
    readable |= {str(Path(path).resolve()) for paths in models.values() for path in paths}
    confinement = Confinement(
        tuple(sorted(readable)),
        (),
        config.memory_bytes,
        config.file_bytes,
        config.network,
        config.processes,
        packs.strict,
    )
    core = dict(ObjectInfo(load_node_types(), SharedFiles(site.library())))
    return Starting(
        name,
        folder,
        packs.scratch / name,
        {
            "models_dir": str(site.models_dir),
            "model_folders": models,
            "core": core,
            "shared": config.shared,
        },
        confinement,
        config.python or sys.executable,
        config.threads,
        config.load_s,
        scratch_bytes=config.scratch_bytes,
    )
