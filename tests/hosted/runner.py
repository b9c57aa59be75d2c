"""The real reading and validation of workflows, with grey pictures for results."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from api.jobs.runner import Prepared, RunningJob
from deployments.clients import StageClients
from deployments.runner import WorkflowRunner
from graph.cache import ResultCache
from graph.comfyui_nodes import load_comfyui_nodes
from graph.errors import ServiceError
from graph.execution import NodeTiming
from graph.node import NodeType
from storage.inputs import Inputs
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary

SAVING = ("SaveImage", "VHS_VideoCombine")


@dataclass(eq=False)
class NoMemoryError(ServiceError):
    """What a stage may say when a job fails."""

    status = 503
    code = "out_of_memory"
    template = "The picture does not fit the memory."


@dataclass
class GreyRunner:
    """Prepares as the service does, and paints as many grey pictures as the workflow would.

    A prompt that says "fail" fails.
    """

    inner: WorkflowRunner
    prompts: list[Mapping[str, Any]] = field(default_factory=list)  # of jobs, in API format

    async def prepare(self, owner: str, body: Mapping[str, Any]) -> Prepared:
        prepared = await self.inner.prepare(owner, body)
        self.prompts.append(prepared.prompt)
        return prepared

    async def run(self, prepared: Prepared, job: RunningJob) -> tuple[NodeTiming, ...]:
        nodes = prepared.prompt.values()
        texts = {node["inputs"].get("text") for node in nodes}
        if "fail" in texts:
            raise NoMemoryError
        counts = [
            node["inputs"].get("batch_size") or node["inputs"].get("amount") for node in nodes
        ]
        count = next((one for one in counts if one), 1)
        save = next(i for i, node in prepared.prompt.items() if node["class_type"] in SAVING)
        prefix = prepared.prompt[save]["inputs"]["filename_prefix"]
        grey = np.full((count, 8, 8, 3), 0.5, np.float32)
        await job.outputs.save_images(grey, prefix, node_id=save)
        return ()

    def jobs_kept(self) -> frozenset[int]:
        return self.inner.jobs_kept()

    def forget(self, job_ids: AbstractSet[int]) -> None:
        self.inner.forget(job_ids)

    def lent(self, job_id: int) -> bool:
        return self.inner.lent(job_id)

    async def object_info(self, owner: str) -> Mapping[str, Any]:
        return await self.inner.object_info(owner)

    async def family(self, owner: str, folder: str, name: str) -> str:
        return await self.inner.family(owner, folder, name)

    async def schema(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.inner.schema(owner, body)

    async def convert(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.inner.convert(owner, body)


def grey_runner(node_types: Mapping[str, NodeType], models: Path, inputs: Inputs) -> GreyRunner:
    folders = ModelLibrary(models, models.parent / "private")
    return GreyRunner(
        WorkflowRunner(
            node_types=node_types,
            comfyui_nodes=load_comfyui_nodes(),
            folders=folders,
            checks=ModelChecks(folders),
            annotators=AnnotatorFolder.of(models, hub=False),
            inputs=inputs,
            clients=StageClients({}, {}),
            cache=ResultCache(1),
        )
    )
