"""Files are encoded on a replica and stored by the router, each once."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.clients import JobStages, JobWork, StageClients
from deployments.output_encoder import OutputEncoder
from deployments.site import Site
from graph.cache import Handle, ResultLostError
from graph.errors import ServiceError
from graph.events import Done, FileMade, StepEvent
from graph.new_files import NewFile
from graph.nodes import load_node_types
from graph.plan import Segment, Step
from graph.prompt import Source
from graph.stages import Stage
from storage.disk_quota import DiskQuotaError
from storage.pictures import Encoding, encode_picture

IMAGES = np.linspace(0, 1, 2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
LINK = Source("1", 0)
STEP = Step("9", "SaveImage", {"filename_prefix": "x"}, {"images": LINK}, "key")
SAVING = Segment(Stage.OUTPUT, (STEP,), frozenset())


@dataclass(eq=False)
class OneReplica:
    """A client of one encoder; `loses_after` files its first run goes down with the replica."""

    encoder: OutputEncoder
    loses_after: int = 1000
    idle: int = 1
    encodings: list[object] = field(default_factory=list)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        self.encodings.append(segment.encoding)
        files = 0
        async for event in self.encoder.segments.run(segment, inputs):
            if isinstance(event, FileMade):
                if len(self.encodings) == 1 and files == self.loses_after:
                    raise ResultLostError(segment.stage)
                files += 1
            yield event

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        return ()


@pytest.fixture
def encoder(tmp_path: Path) -> OutputEncoder:
    return OutputEncoder(Site(tmp_path, tmp_path))


def _stages(client: OneReplica, kept: list[NewFile]) -> JobStages:
    async def keep(file: NewFile, _node_id: str) -> None:
        kept.append(file)

    clients = StageClients({Stage.OUTPUT: client})
    encoding = Encoding(text={"prompt": "{}"})
    return JobStages(
        clients, load_node_types(), JobWork(str), encoding=encoding, keep=keep, owner="me"
    )


async def _run(stages: JobStages) -> list[StepEvent]:
    return [event async for event in stages.run(SAVING, {LINK: Handle(IMAGES)})]


async def test_pictures_are_encoded_on_the_stage_and_kept_by_the_job(
    encoder: OutputEncoder,
) -> None:
    kept: list[NewFile] = []
    client = OneReplica(encoder)
    events = await _run(_stages(client, kept))
    how = Encoding(text={"prompt": "{}"})
    assert client.encodings == [how]
    assert [file.content for file in kept] == [encode_picture(image, how) for image in IMAGES]
    assert [(file.prefix, file.batch_num) for file in kept] == [("x", 0), ("x", 1)]
    assert not [event for event in events if isinstance(event, FileMade)]
    assert isinstance(events[-1], Done)


async def test_a_segment_that_is_run_again_keeps_each_file_once(encoder: OutputEncoder) -> None:
    kept: list[NewFile] = []
    stages = _stages(OneReplica(encoder, loses_after=1), kept)
    with pytest.raises(ResultLostError):
        await _run(stages)
    assert [file.batch_num for file in kept] == [0]
    await _run(stages)
    assert [file.batch_num for file in kept] == [0, 1]


async def test_why_a_file_may_not_be_kept_is_told_of_its_node(encoder: OutputEncoder) -> None:
    async def refuse(_file: NewFile, _node_id: str) -> None:
        raise DiskQuotaError(1, 1, 1)

    clients = StageClients({Stage.OUTPUT: OneReplica(encoder)})
    stages = JobStages(
        clients, load_node_types(), JobWork(str), encoding=Encoding(), keep=refuse, owner="me"
    )
    with pytest.raises(ServiceError) as told:
        await _run(stages)
    assert "9" in str(told.value.body())
