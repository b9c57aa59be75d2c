"""Runs workflows: executes plans on the stages and collects results."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from api.jobs.events import NodeCached
from api.jobs.runner import RunningJob
from deployments.clients import JobStages, JobWork, StageClients
from deployments.job_events import job_event
from deployments.output_functions import NodeFiles
from deployments.reader import PreparedWorkflow, WorkflowReader
from deployments.saved_outputs import remember, saved_before
from deployments.watches import JobWatch, SegmentWatch, no_watch
from graph.cache import ResultCache
from graph.events import Blocked, Warned
from graph.execution import Execution, NodeTiming, ReportedEvent
from graph.logs import about
from graph.new_files import NewFile
from graph.splitting import split_batches
from storage.saved_files import SavedFiles


@dataclass(frozen=True, kw_only=True)
class WorkflowRunner(WorkflowReader):
    """Everything a job needs between its request and its pictures."""

    clients: StageClients
    cache: ResultCache
    saved: SavedFiles = field(default_factory=SavedFiles)
    watches: tuple[SegmentWatch, ...] = ()
    watch_job: JobWatch = no_watch

    async def run(self, prepared: PreparedWorkflow, job: RunningJob) -> tuple[NodeTiming, ...]:
        """Run it; cancelling this cancels all that was started."""
        folded = prepared.folded
        assert folded is not None
        again: Mapping[str, Any] = {}
        if job.as_comfyui:
            again = await saved_before(
                folded, job, self.saved, lambda key: self.cache.has((job.owner, key))
            )
            for node_id in sorted(folded.known.keys() & prepared.prompt.keys()):
                job.report(NodeCached(node_id, prepared.prompt[node_id]["class_type"]))
        timings = await self._run(prepared, job, frozenset(again))
        for node_id, files in again.items():
            await job.outputs.list_again(files, node_id=node_id)
        if job.as_comfyui:
            remember(folded, job, self.saved)
        return timings

    async def _run(
        self, prepared: PreparedWorkflow, job: RunningJob, saved: frozenset[str]
    ) -> tuple[NodeTiming, ...]:
        """Run all but the output nodes that are `saved` already."""

        def report(event: ReportedEvent) -> None:
            if isinstance(event, Warned):
                job.warn(event.text)
            elif isinstance(event, Blocked):
                job.warn(f"Node {event.node_id}: execution blocked: {event.message}")
            else:
                job.report(job_event(event, prepared.prompt))

        async def keep(file: NewFile, node_id: str) -> None:
            await job.outputs.keep(file, node_id=node_id)

        encoding = job.outputs.encoding
        work = JobWork(lambda node_id: NodeFiles(encoding, lambda file: keep(file, node_id)))
        assert prepared.folded is not None
        folded = split_batches(
            prepared.folded,
            self.node_types,
            self.clients.idle_samplers,
            lambda key: (job.owner, key) in self.cache,
        )
        with about(job=job.id, owner=job.owner), self.watch_job(job) as of_job:
            watches = (*self.watches, *of_job)
            stages = JobStages(
                self.clients,
                self.node_types,
                work,
                watches,
                job.owner,
                encoding,
                keep,
                job.hidden_values,
            )
            return await Execution(
                job.owner,
                folded,
                stages,
                self.cache,
                report,
                job=job.id,
                hosts=self.clients.hosts,
                saved=saved,
                tells_all=job.as_comfyui,
            ).run()

    def jobs_kept(self) -> frozenset[int]:
        """The jobs of which results are in the cache."""
        return self.cache.jobs() | self.saved.jobs()

    def forget(self, job_ids: AbstractSet[int]) -> None:
        """Drop the results of jobs."""
        self.cache.forget_jobs(job_ids)
        self.saved.forget_jobs(job_ids)

    def lent(self, job_id: int) -> bool:
        """Whether another job was given a result of this one."""
        return self.cache.lent(job_id)
