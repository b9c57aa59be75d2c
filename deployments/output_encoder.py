"""The OUTPUT stage: encodes pictures and audio on a replica; the router stores the files."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.event_batches import EventBatch, in_batches
from deployments.output_functions import NodeFiles
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.events import FileMade, Progress
from graph.logs import set_up_logs
from graph.new_files import NewFile
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.stages.output import OutputFunctions


class OutputEncoder:
    """Encodes what jobs keep. It holds no state: a segment that is lost with it is run again."""

    def __init__(self, site: Site) -> None:
        set_up_logs(site.log)
        self.segments = SegmentRunner(
            {Stage.OUTPUT: _functions}, StageMetrics(Stage.OUTPUT), site.watch()
        )

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this replica has counted."""
        return (self.segments.metrics.snapshot(),)


def _functions(node_id: str, report: Report, segment: Segment) -> OutputFunctions:
    loop = asyncio.get_running_loop()

    async def made(file: NewFile) -> None:
        report(FileMade(node_id, file))

    def report_frames(done: int, of: int) -> None:
        loop.call_soon_threadsafe(report, Progress(node_id, done, of))

    return NodeFiles(segment.encoding, made, report_frames)
