"""A small runner for tests of the HTTP side: draws squares, step by step, when it is told to."""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from api.jobs.events import NodeStarted, Progressed
from api.jobs.runner import Prepared, RunningJob
from graph.errors import ServiceError
from graph.execution import NodeTiming
from graph.new_files import NewFile
from graph.problems import Problem, WorkflowInvalidError
from graph.values import InputFile
from storage.inputs import Inputs

GREY = 0.5
SENT = NewFile(b"png", "x", ".png", "image", "image/png", temporary=True, sent=True)
WORKFLOW = {"9": {"class_type": "SaveImage", "inputs": {}}}


@dataclass(eq=False)
class BrokenModelError(ServiceError):
    """What a stage may say when a job fails."""

    status = 422
    code = "broken_model"
    template = "Model {name} is broken."
    name: str


@dataclass
class FakeRunner:
    """Runs any workflow. Keys of the workflow choose what happens; "hold" waits for `go`."""

    inputs: Inputs | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Event = field(default_factory=asyncio.Event)  # once a job runs
    saved: asyncio.Event = field(default_factory=asyncio.Event)  # once a job's first file is there
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # once one was cancelled
    forgotten: asyncio.Event = field(default_factory=asyncio.Event)  # once jobs were
    started: list[str] = field(default_factory=list)  # names of jobs in the order they ran
    cancelled: list[str] = field(default_factory=list)
    prepared: list[Mapping[str, Any]] = field(default_factory=list)
    read: list[InputFile] = field(default_factory=list)
    lenders: set[int] = field(default_factory=set)  # jobs that others went on from
    kept: set[int] = field(default_factory=set)  # jobs that ran, until they are to be forgotten

    async def prepare(self, owner: str, body: Mapping[str, Any]) -> Prepared:
        self.prepared.append(body)
        workflow = body["workflow"]
        if "unknown" in workflow:
            raise WorkflowInvalidError(
                (
                    Problem("missing_node_type", "Node type not found", "1", "Nope"),
                    Problem("value_not_in_list", "Value not in list", "3", received="eulr"),
                )
            )
        if "bug" in workflow:
            raise ZeroDivisionError
        if self.inputs and "image" in workflow:
            self.read.append(await self.inputs.read(owner, workflow["image"]))
        return Prepared(
            prompt=workflow,
            workflow={"nodes": []},
            meta={"seed": {"3": 42}, "overrides": {}},
            eta_s=2.0,
            quote={"stages": ["sample"]},
        )

    async def run(self, prepared: Prepared, job: RunningJob) -> tuple[NodeTiming, ...]:
        workflow = prepared.prompt
        name = str(workflow.get("name", ""))
        self.started.append(name)
        self.kept.add(job.id)
        self.running.set()
        job.report(NodeStarted("3", "KSampler"))
        try:
            for step in (1, 2):
                job.report(Progressed("3", step, 2, preview=b"preview %d" % step))
            if "hold" in workflow:
                await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            self.stopped.set()
            if "stubborn" in workflow:
                raise RuntimeError("a stage was cancelled") from None
            raise
        if "send" in workflow:
            await job.outputs.keep(SENT, node_id="11")
        if "broken" in workflow:
            raise BrokenModelError("x.safetensors")
        if "leak" in workflow:
            raise asyncio.CancelledError
        if "crash" in workflow:
            raise ZeroDivisionError
        grey = np.full((2, 8, 16, 3), GREY, np.float32)
        await job.outputs.save_images(grey[:1], node_id="10", temporary=True)
        self.saved.set()
        if "hold_after" in workflow:
            await self.go.wait()
        await job.outputs.save_images(grey, workflow.get("prefix", "ComfyUI"), node_id="9")
        await job.outputs.save_images(grey[:1], node_id="4")
        return (NodeTiming("3", "KSampler", "sample", 0.0, 0.1),)

    def jobs_kept(self) -> frozenset[int]:
        return frozenset(self.kept)

    def forget(self, job_ids: AbstractSet[int]) -> None:
        self.kept -= job_ids
        self.forgotten.set()

    def lent(self, job_id: int) -> bool:
        return job_id in self.lenders

    async def object_info(self, owner: str) -> Mapping[str, Any]:
        return {"KSampler": {"name": "KSampler", "owner": owner}}

    async def family(self, owner: str, folder: str, name: str) -> str:
        return f"{owner} {folder} {name}"

    async def schema(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "object", "owner": owner, "properties": body["workflow"]}

    async def convert(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"workflow": {"converted": body["workflow"]}}
